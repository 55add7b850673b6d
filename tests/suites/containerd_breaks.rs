//! containerd goes, stalls or comes late: what is enforced stays so, and the agent catches up with all that it
//! was not told.

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::agent::Agent;
use weir_tests::jobs::{Jobs, LIMIT, passes, silent};
use weir_tests::node::PodSpec;
use weir_tests::traces;

const FILES: &str = "files.example.com";

const GONE: &str = "phase=\"gone\"";
const FOLLOWED_AGAIN: &str = "reconciled";

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
    let asks = stays.start(jobs.asking(FILES))?;
    let ends = jobs.pod(PodSpec::new("ends"))?;
    for _ in 0..3 {
        // The agent does not come to hear of this pod before containerd is away: a barrier that ends meanwhile
        // has an exit code that containerd never learns.
        signal(agent.process().pid(), Signal::SIGSTOP)?;
        let (held, barrier) = jobs.held(PodSpec::new("held"))?;
        jobs.node.stop_containerd()?;
        signal(agent.process().pid(), Signal::SIGCONT)?;
        jobs.answered(&asks)?;
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
    jobs.answered(&asks)?;
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
    let asks = stays.start(jobs.asking(FILES))?;
    let ends = jobs.pod(PodSpec::new("ends"))?;
    let Some(pid) = jobs.node.containerd_pid() else { anyhow::bail!("containerd does not run") };
    signal(pid, Signal::SIGSTOP)?;
    jobs.answered(&asks)?;
    signal(ends.pid(), Signal::SIGKILL)?;
    silent(&watch)?;
    signal(pid, Signal::SIGCONT)?;
    agent.wait_for(GONE)?;
    jobs.refused_flood(PodSpec::new("next"))?;
    agent.wait_for(GONE)?;
    // Its stream ends in the middle of whatever it was saying.
    jobs.node.kill_containerd()?;
    jobs.answered(&asks)?;
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
    let asks = stays.start(jobs.asking(FILES))?;
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
    jobs.answered(&asks)?;
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
