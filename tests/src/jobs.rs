//! A lab whose node runs CI jobs in the kubelet's order: the barrier to its end, before anything else.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::agent::AgentSpec;
use crate::exec;
use crate::lab::{Lab, Watch, addresses};
use crate::node::{Container, ContainerSpec, Image, Node, Options, Pod, PodSpec};
use crate::profile::Profile;
use crate::programs::{self, Program};
use crate::vm::patient;

/// How long any one step of a pod may take, on a machine that does other things too.
pub const LIMIT: Duration = Duration::from_secs(90);
/// How long a barrier waits for its pod to be enforced.
const BARRIER: Duration = Duration::from_secs(80);

/// The lab, its node, and the images of jobs.
#[derive(Debug)]
pub struct Jobs {
    /// The internet around the node.
    pub lab: Lab,
    /// The node.
    pub node: Node,
    image: Image,
    barrier: Image,
}

impl Jobs {
    /// A node without an agent.
    pub fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let image = Image::busybox("job")
            .program(Program::StaticClient.path()?, "/bin/client")
            .program(Program::Flood.path()?, "/bin/flood")
            .program(Program::Intruder.path()?, "/bin/intruder")
            .program("/usr/bin/curl", "/bin/curl");
        let barrier = Image::busybox("weir-initc")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
        let node = Node::start(&lab, &Options::images(&[&image, &barrier]))?;
        Ok(Self { lab, node, image, barrier })
    }

    /// An agent that enforces the namespace `ci` and allows `names` at port 80.
    #[must_use]
    pub fn allowing(names: &[&str]) -> AgentSpec {
        let profile = match names {
            [] => Profile::deny_all(),
            names => Profile::deny_all().domains_at(names, &["80"]),
        };
        AgentSpec::default().namespace("ci", &profile.text())
    }

    /// A container of the jobs' image.
    #[must_use]
    pub fn container(&self, name: &str) -> ContainerSpec {
        ContainerSpec::new(name, &self.image)
    }

    /// A container that runs until it is killed, for commands to be run in.
    #[must_use]
    pub fn sleeper(&self) -> ContainerSpec {
        self.container("build").command(&["/bin/sleep", "3600"])
    }

    /// A job that sends to the attacker from its first instruction on, `rounds` times or for ever.
    #[must_use]
    pub fn flood(&self, rounds: Option<u32>) -> ContainerSpec {
        let rounds = rounds.unwrap_or(0).to_string();
        let (v4, v6) = (addresses::ATTACKER.v4.to_string(), addresses::ATTACKER.v6.to_string());
        self.container("flood").command(&["/bin/flood", &v4, &v6, &rounds])
    }

    /// A job that asks for an allowed name and connects to it, again and again: by a process that is in the pod
    /// already, for while containerd is away nobody starts another.
    #[must_use]
    pub fn asking(&self, name: &str) -> ContainerSpec {
        let ask = format!("client udp {} 53 {name} 80", addresses::RESOLVER.v4);
        self.container("asking").shell(&format!("while :; do {ask}; sleep 0.3; done"))
    }

    /// Waits until a job that is [`Self::asking`] has got another answer.
    pub fn answered(&self, asking: &Container) -> Result<()> {
        let before = self.lab.web.connections();
        let deadline = Instant::now() + patient(LIMIT);
        while self.lab.web.connections() <= before + 1 {
            ensure!(Instant::now() < deadline, "no answer:\n{}", asking.logs()?);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A sandbox with its barrier under way.
    pub fn held(&self, spec: PodSpec) -> Result<(Pod, Container)> {
        let pod = self.node.run_pod(spec)?;
        let barrier = self.barrier(&pod)?;
        Ok((pod, barrier))
    }

    /// Starts the barrier of a sandbox.
    pub fn barrier(&self, pod: &Pod) -> Result<Container> {
        pod.start(ContainerSpec::barrier(&self.barrier, &pod.spec().uid, BARRIER))
    }

    /// A pod whose barrier has passed.
    pub fn pod(&self, spec: PodSpec) -> Result<Pod> {
        let (pod, barrier) = self.held(spec)?;
        passes(&barrier)?;
        Ok(pod)
    }

    /// A pod whose job floods the attacker and ends, every send refused; the pod is removed.
    pub fn refused_flood(&self, spec: PodSpec) -> Result<()> {
        let pod = self.pod(spec)?;
        let flood = pod.start(self.flood(Some(2)))?;
        let code = flood.wait(LIMIT)?;
        let said = flood.logs()?;
        ensure!(code == 0, "{said}");
        let counted: serde_json::Value = serde_json::from_str(&said).context(said.clone())?;
        ensure!(counted.get("tries").and_then(serde_json::Value::as_u64) > Some(0), "{said}");
        ensure!(counted.get("tries") == counted.get("refused"), "{said}");
        pod.remove()
    }

    /// Begins to count what the attacker receives.
    pub fn watch_attacker(&self) -> Result<Watch> {
        self.lab.watch(self.lab.attacker.host())
    }
}

/// Waits for a barrier, which must let the job start.
pub fn passes(barrier: &Container) -> Result<()> {
    let code = barrier.wait(LIMIT)?;
    ensure!(code == 0, "the barrier: {}", barrier.logs()?);
    Ok(())
}

/// Fails if the attacker received anything since it was last asked.
pub fn silent(watch: &Watch) -> Result<()> {
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker received {seen:?}");
    Ok(())
}

/// Asks for `name` in the container with a resolver of its own, and connects to what it is told. The exit
/// code: 0 connected, 1 no answer, 4 refused the name, 5 refused the connect.
pub fn fetch(container: &Container, name: &str) -> Result<i32> {
    let server = addresses::RESOLVER.v4.to_string();
    Ok(container.exec(&["client", "udp", &server, "53", name, "80"])?.code)
}

/// Connects to an address in the container without asking for any name; whether that worked.
pub fn connects(container: &Container, address: &str) -> Result<bool> {
    let url = format!("http://{address}/");
    let output = container.exec(&["curl", "-sS", "-m", "3", "-o", "/dev/null", &url])?;
    Ok(output.code == 0)
}

/// The ports on which somebody listens in the pod's network.
pub fn listeners(jobs: &Jobs, pod: &Pod) -> Result<String> {
    let mut command = jobs.node.command("nsenter");
    let netns = pod.netns().context("a pod without a network")?;
    command.arg(format!("--net={}", netns.display())).args(["ss", "-Hltun"]);
    Ok(exec::run(command, LIMIT)?.expect_code(0)?.stdout)
}
