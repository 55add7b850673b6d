//! containerd goes, stalls or comes late: what is enforced stays so, and the agent catches up with all that it
//! was not told.

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::agent::Agent;
use weir_tests::jobs::{Jobs, LIMIT, passes, silent};
use weir_tests::node::PodSpec;
use weir_tests::relay::Relay;
use weir_tests::traces;

const FILES: &str = "files.example.com";

/// Where the agent is told that containerd is.
const RELAY: &str = "/run/node/relay.sock";

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
    // containerd may have taken the pod for one that runs, until it looked.
    traces::pinned_become(&jobs.node, &layout, &[stays.id(), held.id()])?;
    ends.remove()?;
    for pod in [held, stays] {
        pod.remove()?;
    }
    traces::weir_lets_go(&jobs.node)?;
    agent.stop()?;
    silent(&watch)?;
    traces::none(&jobs.node)
}

#[test]
fn a_pod_whose_network_is_being_made_when_the_stream_breaks_stays_closed() -> Result<()> {
    let jobs = Jobs::new()?;
    let relay = Relay::open(&jobs.node.path(RELAY), &jobs.node.socket())?;
    let spec = Jobs::allowing(&[FILES]).config(&format!("containerd: {{ socket: {RELAY} }}"));
    let agent = spec.start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let held = jobs.node.hold_addresses()?;
    let late = std::thread::scope(|scope| {
        let late = scope.spawn(|| jobs.pod(PodSpec::new("late")));
        let kept = kept_over_a_break(&jobs, &agent, &relay);
        // Before anything can fail: the thread waits for it.
        drop(held);
        let late = late.join().map_err(|_panic| anyhow::anyhow!("the pod's thread panicked"))?;
        kept.map(|()| late)
    })??;
    agent.wait_for("enforced sandbox")?;
    let asks = late.start(jobs.asking(FILES))?;
    let flood = late.start(jobs.flood(Some(2)))?;
    ensure!(flood.wait(LIMIT)? == 0, "{}", flood.logs()?);
    jobs.answered(&asks)?;
    late.remove()?;
    agent.wait_for(GONE)?;
    agent.stop()?;
    silent(&watch)?;
    traces::none(&jobs.node)
}

/// Cuts the stream once a pod is prepared; it must be so still when all has been listed again.
fn kept_over_a_break(jobs: &Jobs, agent: &Agent, relay: &Relay) -> Result<()> {
    agent.wait_for("phase=\"prepared\"")?;
    let layout = traces::layout(&jobs.node)?;
    let before = traces::pinned(&jobs.node, &layout)?;
    ensure!(before.len() == 1, "{before:?}");
    relay.cut();
    agent.wait_for(FOLLOWED_AGAIN)?;
    // A pod that comes and goes: whatever the listing began has ended.
    jobs.refused_flood(PodSpec { host_network: true, ..PodSpec::new("next") })?;
    agent.wait_for(GONE)?;
    let after = traces::pinned(&jobs.node, &layout)?;
    ensure!(after == before, "pins before: {before:?}, after: {after:?}");
    Ok(())
}
