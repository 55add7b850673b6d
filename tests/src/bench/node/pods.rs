//! What 110 pods cost the agent: memory, processor time while nothing happens, other policies for all of them, and the
//! next agent.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{ENFORCED, Row, Stage, Target};
use crate::agent::{Agent, AgentSpec};
use crate::bench::process::{cpu_seconds, status_kib};
use crate::bench::row::median;
use crate::node::PodSpec;
use crate::profile::Profile;

/// As many as a kubelet runs by default.
const PODS: usize = 110;
const IDLE: Duration = Duration::from_secs(10);
/// Times that the policies are changed.
const CHANGES: usize = 7;
/// Most time for the next agent.
const TAKEOVER: Duration = Duration::from_secs(300);

pub(super) fn rows(stage: Stage) -> Result<Vec<Row>> {
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
    let changes = (0..CHANGES).map(|number| change(&stage, number)).collect::<Result<_>>()?;
    let Stage { lab: _lab, node, agent } = stage;
    agent.kill()?;
    let begun = Instant::now();
    let agent = Agent::spawn(&node)?;
    agent.wait_for_many("enforced sandbox", PODS, TAKEOVER)?;
    let takeover = begun.elapsed().as_secs_f64() * 1000.0;
    for pod in pods {
        pod.remove()?;
    }
    agent.stop()?;
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
        row("other policies, until all have them", "ms", median(changes), 300.0),
        row("the next agent, until it has them all", "ms", takeover, 0.0).untargeted(),
    ])
}

/// Milliseconds from the word that the policies are others until they are in force for all pods.
fn change(stage: &Stage, number: usize) -> Result<f64> {
    let names = [format!("number-{number}.example.com")];
    let profile = Profile::deny_all().domains_at(&names.each_ref().map(String::as_str), &["80"]);
    let text = profile.text().replace("lab/test", &format!("lab/{ENFORCED}"));
    let file = stage.node.path(AgentSpec::POLICY).join(format!("{ENFORCED}.yaml"));
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, &file)?;
    let begun = Instant::now();
    // Not by the folder's own news, which waits until the folder is quiet.
    stage.agent.process().signal(Signal::SIGHUP)?;
    stage.agent.wait_for("are in force")?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}
