//! What 110 pods cost the agent: memory, and processor time while nothing happens.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Row, Stage, Target};
use crate::bench::process::{cpu_seconds, status_kib};
use crate::node::PodSpec;

/// As many as a kubelet runs by default.
const PODS: usize = 110;
const IDLE: Duration = Duration::from_secs(10);

pub(super) fn rows(stage: &Stage) -> Result<Vec<Row>> {
    let pods = (0..PODS)
        .map(|index| {
            let pod = stage.node.run_pod(PodSpec::new(&format!("many-{index}")))?;
            stage.agent.wait_for("took_us=")?;
            Ok(pod)
        })
        .collect::<Result<Vec<_>>>()?;
    let pid = stage.agent.process().pid();
    let resident = status_kib(pid, "VmRSS:")? / 1024.0;
    let (before, start) = (cpu_seconds(pid)?, Instant::now());
    // Nothing is awaited here: what is measured is the waiting.
    std::thread::sleep(IDLE);
    let busy = (cpu_seconds(pid)? - before) / start.elapsed().as_secs_f64() * 100.0;
    for pod in pods {
        pod.remove()?;
    }
    let row = |name: &str, unit, value, most| Row {
        name: format!("agent with {PODS} pods: {name}"),
        unit,
        value,
        against: None,
        target: Target::AtMost(most),
    };
    Ok(vec![
        row("resident memory", "MiB", resident, 40.0),
        row("idle, share of a CPU", "%", busy, 0.5),
    ])
}
