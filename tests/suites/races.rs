//! No job is faster than its enforcement: jobs that send from their first instruction on, one after another
//! and many at once, and what is left when their pods are gone.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::jobs::{Jobs, LIMIT, silent};
use weir_tests::node::{Pod, PodSpec};
use weir_tests::traces;
use weir_tests::vm;

/// Pods one after another.
const IN_A_ROW: usize = 200;
/// Pods side by side.
const AT_ONCE: usize = 50;

/// The agent tells this once of each pod that is cleared away.
const GONE: &str = "phase=\"gone\"";

#[test]
fn jobs_in_a_row_send_nothing() -> Result<()> {
    let (jobs, pods) = (Jobs::new()?, vm::repetitions(IN_A_ROW));
    let agent = Jobs::allowing(&[]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    // Pods go while others come, as on a node in use.
    let (sender, ended) = mpsc::channel::<Pod>();
    std::thread::scope(|scope| {
        let remover = scope.spawn(move || ended.iter().try_for_each(Pod::remove));
        for number in 0..pods {
            let pod = jobs.pod(PodSpec::new(&format!("job-{number}")))?;
            let flood = pod.start(jobs.flood(Some(2)))?;
            ensure!(flood.wait(LIMIT)? == 0, "{}", flood.logs()?);
            silent(&watch).with_context(|| format!("pod {number}"))?;
            sender.send(pod).context("the removal ended early")?;
        }
        drop(sender);
        remover.join().map_err(|_panic| anyhow::anyhow!("the removal panicked"))?
    })?;
    agent.wait_for_many(GONE, pods, LIMIT)?;
    agent.stop()?;
    silent(&watch)?;
    traces::none(&jobs.node)
}

#[test]
fn jobs_at_once_send_nothing() -> Result<()> {
    let (jobs, pods) = (Jobs::new()?, vm::repetitions(AT_ONCE));
    let agent = Jobs::allowing(&[]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    std::thread::scope(|scope| {
        let jobs = &jobs;
        let threads: Vec<_> = (0..pods)
            .map(|number| {
                let spec = PodSpec::new(&format!("job-{number}"));
                scope.spawn(move || jobs.refused_flood(spec))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_panic| anyhow::anyhow!("a pod's thread panicked"))?
        })
    })?;
    silent(&watch)?;
    agent.wait_for_many(GONE, pods, LIMIT)?;
    agent.stop()?;
    traces::none(&jobs.node)
}

/// The same job where nobody enforces: it does send.
#[test]
fn a_pod_that_is_not_selected_sends() -> Result<()> {
    let jobs = Jobs::new()?;
    let _agent = Jobs::allowing(&[]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod =
        jobs.node.run_pod(PodSpec { namespace: "other".to_owned(), ..PodSpec::new("job") })?;
    let flood = pod.start(jobs.flood(Some(2)))?;
    ensure!(flood.wait(Duration::from_secs(30))? == 0, "{}", flood.logs()?);
    let seen = watch.take()?;
    ensure!(seen.udp.packets > 10 && seen.tcp.packets > 10, "{seen:?}");
    pod.remove()
}
