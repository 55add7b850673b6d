//! containerd goes, stalls or comes late: what is enforced stays so, and the agent catches up with all that it
//! was not told.

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::agent::Agent;
use weir_tests::jobs::{Jobs, LIMIT, passes, silent};
use weir_tests::lab::addresses;
use weir_tests::node::{Container, PodSpec};
use weir_tests::traces;

const FILES: &str = "files.example.com";

const GONE: &str = "phase=\"gone\"";
const FOLLOWED_AGAIN: &str = "reconciled";

/// Whether the pod's job gets an allowed name answered: by a process that is in the pod already, for while
/// containerd is away nobody starts another. It answers once a second.
fn asking(jobs: &Jobs) -> weir_tests::node::ContainerSpec {
    let ask = format!("client udp {} 53 {FILES} 80", addresses::RESOLVER.v4);
    jobs.container("asking").shell(&format!("while :; do {ask}; sleep 0.3; done"))
}

/// Waits until the job has got another answer.
fn answered(jobs: &Jobs, asking: &Container) -> Result<()> {
    let before = jobs.lab.web.connections();
    let deadline = std::time::Instant::now() + LIMIT;
    while jobs.lab.web.connections() <= before + 1 {
        ensure!(std::time::Instant::now() < deadline, "no answer:\n{}", asking.logs()?);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}

fn signal(pid: i32, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(pid), signal)?)
}

#[test]
fn a_restart_of_containerd_opens_nothing_and_hides_nothing() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let stays = jobs.pod(PodSpec::new("stays"))?;
    stays.start(jobs.flood(None))?;
    let asks = stays.start(asking(&jobs))?;
    let ends = jobs.pod(PodSpec::new("ends"))?;
    for _ in 0..3 {
        let (held, barrier) = jobs.held(PodSpec::new("held"))?;
        jobs.node.stop_containerd()?;
        answered(&jobs, &asks)?;
        silent(&watch)?;
        jobs.node.start_containerd()?;
        agent.wait_for(FOLLOWED_AGAIN)?;
        passes(&barrier)?;
        held.remove()?;
        agent.wait_for(GONE)?;
        jobs.refused_flood(PodSpec::new("next"))?;
        agent.wait_for(GONE)?;
    }
    // One pod dies while nobody looks.
    jobs.node.stop_containerd()?;
    signal(ends.pid(), Signal::SIGKILL)?;
    jobs.node.start_containerd()?;
    agent.wait_for(GONE)?;
    silent(&watch)?;
    let layout = traces::layout(&jobs.node)?;
    let pinned = traces::pinned(&jobs.node, &layout)?;
    ensure!(pinned == [stays.id().to_owned()].into(), "{pinned:?}");
    answered(&jobs, &asks)?;
    ends.remove()?;
    stays.remove()?;
    agent.wait_for(GONE)?;
    agent.stop()?;
    silent(&watch)?;
    traces::none(&jobs.node)
}

#[test]
fn a_containerd_that_stalls_or_is_killed_opens_nothing() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let stays = jobs.pod(PodSpec::new("stays"))?;
    stays.start(jobs.flood(None))?;
    let asks = stays.start(asking(&jobs))?;
    let ends = jobs.pod(PodSpec::new("ends"))?;
    let Some(pid) = jobs.node.containerd_pid() else { anyhow::bail!("containerd does not run") };
    signal(pid, Signal::SIGSTOP)?;
    answered(&jobs, &asks)?;
    signal(ends.pid(), Signal::SIGKILL)?;
    silent(&watch)?;
    signal(pid, Signal::SIGCONT)?;
    agent.wait_for(GONE)?;
    jobs.refused_flood(PodSpec::new("next"))?;
    agent.wait_for(GONE)?;
    // Its stream ends in the middle of whatever it was saying.
    jobs.node.kill_containerd()?;
    answered(&jobs, &asks)?;
    jobs.node.start_containerd()?;
    agent.wait_for(FOLLOWED_AGAIN)?;
    jobs.refused_flood(PodSpec::new("next"))?;
    agent.wait_for(GONE)?;
    silent(&watch)?;
    ends.remove()?;
    stays.remove()?;
    agent.wait_for(GONE)?;
    agent.stop()?;
    traces::none(&jobs.node)
}

#[test]
fn an_agent_waits_for_a_containerd_that_is_not_there_yet() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let stays = jobs.pod(PodSpec::new("stays"))?;
    stays.start(jobs.flood(None))?;
    let asks = stays.start(asking(&jobs))?;
    let ends = jobs.pod(PodSpec::new("ends"))?;
    agent.kill()?;
    let (held, barrier) = jobs.held(PodSpec::new("held"))?;
    jobs.node.stop_containerd()?;
    std::fs::remove_file(jobs.node.socket()).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    signal(ends.pid(), Signal::SIGKILL)?;
    let agent = Agent::spawn(&jobs.node)?;
    agent.wait_for("waiting for containerd")?;
    // Nothing of the pods that run is taken away on the word of nobody.
    let layout = traces::layout(&jobs.node)?;
    ensure!(traces::pinned(&jobs.node, &layout)?.len() == 2, "pins went before anybody was asked");
    silent(&watch)?;
    jobs.node.start_containerd()?;
    agent.wait_for("reconciled")?;
    agent.wait_for_many("enforced sandbox", 2, LIMIT)?;
    passes(&barrier)?;
    answered(&jobs, &asks)?;
    let pinned = traces::pinned(&jobs.node, &layout)?;
    ensure!(pinned == [stays.id().to_owned(), held.id().to_owned()].into(), "{pinned:?}");
    ends.remove()?;
    for pod in [held, stays] {
        pod.remove()?;
        agent.wait_for(GONE)?;
    }
    agent.stop()?;
    silent(&watch)?;
    traces::none(&jobs.node)
}
