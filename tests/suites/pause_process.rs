//! The pause process of a pod dies before the job does. The kubelet takes the pod down then, in its own time; until
//! the last container has ended the pod is held as it was.

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::agent::Agent;
use weir_tests::jobs::{Jobs, LIMIT, silent};
use weir_tests::node::{Container, Pod, PodSpec};
use weir_tests::traces;

const FILES: &str = "files.example.com";
const GONE: &str = "phase=\"gone\"";

/// A pod whose job floods the attacker and asks for an allowed name.
fn job(jobs: &Jobs) -> Result<(Pod, [Container; 2])> {
    let pod = jobs.pod(PodSpec::new("job"))?;
    let containers = [pod.start(jobs.flood(None))?, pod.start(jobs.asking(FILES))?];
    Ok((pod, containers))
}

fn kill_pause(pod: &Pod) -> Result<()> {
    Ok(kill(Pid::from_raw(pod.pid()), Signal::SIGKILL)?)
}

/// Another pod comes and goes, so that the agent has heard of whatever happened before.
fn another(jobs: &Jobs, agent: &Agent) -> Result<()> {
    jobs.refused_flood(PodSpec::new("next"))?;
    agent.wait_for(GONE)?;
    Ok(())
}

/// The only pod that weir keeps anything of.
fn kept(jobs: &Jobs, pod: &Pod) -> Result<()> {
    let pinned = traces::pinned(&jobs.node, &traces::layout(&jobs.node)?)?;
    ensure!(pinned == [pod.id().to_owned()].into(), "{pinned:?}");
    Ok(())
}

/// Ends the job, whose pod is gone with its last container.
fn end(jobs: &Jobs, agent: Agent, pod: Pod, [flood, asks]: &[Container; 2]) -> Result<()> {
    flood.stop(0)?;
    flood.wait(LIMIT)?;
    kept(jobs, &pod)?;
    jobs.answered(asks)?;
    asks.stop(0)?;
    agent.wait_for(GONE)?;
    let left = traces::of_weir(&jobs.node)?;
    ensure!(left.is_empty(), "left over: {left:?}");
    pod.remove()?;
    agent.stop()?;
    traces::none(&jobs.node)
}

#[test]
fn a_job_that_outlives_its_pause_process_is_held() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let (pod, containers) = job(&jobs)?;
    kill_pause(&pod)?;
    another(&jobs, &agent)?;
    kept(&jobs, &pod)?;
    jobs.answered(&containers[1])?;
    silent(&watch)?;
    end(&jobs, agent, pod, &containers)?;
    silent(&watch)
}

#[test]
fn an_agent_that_comes_after_the_pause_process_died_takes_the_pod_over() -> Result<()> {
    let jobs = Jobs::new()?;
    let spec = Jobs::allowing(&[FILES]);
    let agent = spec.start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let (pod, containers) = job(&jobs)?;
    agent.kill()?;
    kill_pause(&pod)?;
    silent(&watch)?;
    let agent = spec.start(&jobs.node)?;
    agent.wait_for("enforced sandbox")?;
    another(&jobs, &agent)?;
    kept(&jobs, &pod)?;
    jobs.answered(&containers[1])?;
    silent(&watch)?;
    // What containerd forgets of a sandbox while it is away is no end of the pod either.
    jobs.node.restart_containerd()?;
    agent.wait_for("reconciled")?;
    another(&jobs, &agent)?;
    kept(&jobs, &pod)?;
    silent(&watch)?;
    end(&jobs, agent, pod, &containers)?;
    silent(&watch)
}

#[test]
fn a_container_that_starts_when_all_others_of_its_pod_have_ended_is_held() -> Result<()> {
    held_when_all_others_have_ended(|_, agent| Ok(agent))
}

#[test]
fn an_agent_that_comes_before_such_a_container_starts_holds_it() -> Result<()> {
    held_when_all_others_have_ended(|jobs, agent| {
        agent.kill()?;
        Jobs::allowing(&[FILES]).start(&jobs.node)
    })
}

/// What happens `meanwhile`, before the last container starts, changes nothing.
fn held_when_all_others_have_ended(
    meanwhile: impl FnOnce(&Jobs, Agent) -> Result<Agent>,
) -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("job"))?;
    let sleeps = pod.start(jobs.sleeper())?;
    let flood = pod.create(jobs.flood(None))?;
    // Its process is there, and not yet told of as started.
    flood.make_task()?;
    kill_pause(&pod)?;
    sleeps.stop(0)?;
    let agent = meanwhile(&jobs, agent)?;
    another(&jobs, &agent)?;
    kept(&jobs, &pod)?;
    flood.begin()?;
    another(&jobs, &agent)?;
    kept(&jobs, &pod)?;
    silent(&watch)?;
    // With it the pod is gone.
    flood.end_task()?;
    agent.wait_for(GONE)?;
    let left = traces::of_weir(&jobs.node)?;
    ensure!(left.is_empty(), "left over: {left:?}");
    pod.remove()?;
    agent.stop()?;
    silent(&watch)?;
    traces::none(&jobs.node)
}
