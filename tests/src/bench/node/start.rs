//! From the event that a sandbox has started to its pod being enforced and its listener up, by the agent's
//! own clock.

use anyhow::{Context, Result};

use super::{Row, Stage, Target, milliseconds, quantile};
use crate::node::PodSpec;

const ONE_BY_ONE: usize = 60;
const AT_ONCE: usize = 50;
/// So many times, for a p99 that is not the worst of one crowd.
const CROWDS: usize = 4;

pub(super) fn rows(stage: &Stage) -> Result<Vec<Row>> {
    let mut alone = Vec::new();
    for index in 0..ONE_BY_ONE {
        let pod = stage.node.run_pod(PodSpec::new(&format!("alone-{index}")))?;
        alone.push(took(stage)?);
        pod.remove()?;
    }
    let mut together = Vec::new();
    for _ in 0..CROWDS {
        together.extend(crowd(stage)?);
    }
    let row = |name: &str, value, most| {
        milliseconds(format!("pod start: {name}"), value, Target::AtMost(most))
    };
    Ok(vec![
        row("one at a time, p50", quantile(&mut alone, 0.5), 3.0),
        row("one at a time, p99", quantile(&mut alone, 0.99), 10.0),
        row("50 at once, p99", quantile(&mut together, 0.99), 50.0),
    ])
}

/// How long each pod of a crowd waited.
fn crowd(stage: &Stage) -> Result<Vec<f64>> {
    let node = &stage.node;
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..AT_ONCE)
            .map(|index| scope.spawn(move || node.run_pod(PodSpec::new(&format!("crowd-{index}")))))
            .collect();
        let waits = (0..AT_ONCE).map(|_| took(stage)).collect::<Result<_>>()?;
        for start in starts {
            let pod =
                start.join().map_err(|_panic| anyhow::anyhow!("a pod's thread panicked"))??;
            pod.remove()?;
        }
        Ok(waits)
    })
}

/// How long the next pod that started waited for its enforcement, in milliseconds.
fn took(stage: &Stage) -> Result<f64> {
    const FIELD: &str = "waited_us=";
    let line = stage.agent.wait_for(FIELD)?;
    let value = line.split(FIELD).nth(1).and_then(|rest| rest.split_whitespace().next());
    let microseconds: f64 = value.context("no time in the agent's log")?.parse()?;
    Ok(microseconds / 1000.0)
}
