//! A job whose flows are refused as fast as it can offer them: what that costs the agent, and whether every flow is told
//! and every refusal counted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::process::cpu_seconds;
use super::{Row, Target};
use crate::lab::addresses;
use crate::neighbours::{Done, LOUD, Neighbours};
use crate::node::Pod;
use crate::weir::Event;

const MEASURED: Duration = Duration::from_secs(10);
/// Flows of one round: so many destinations, over both families, by datagram and by connect.
const DESTINATIONS: usize = 250;
const DISTINCT: usize = DESTINATIONS * 4;
/// How long the account of a pod may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What a flood was and what it cost.
struct Flood {
    done: Done,
    per_second: f64,
    /// Of one CPU, percent.
    agent: f64,
}

pub(super) fn rows(_: &super::Ground) -> Result<Vec<Row>> {
    let node = Neighbours::begin()?;
    let pod = node.pod(LOUD)?;
    let again = flood(&node, &pod, "repeats", &DESTINATIONS.to_string())?;
    let sights = distinct(&node.violations_come(&pod, DISTINCT)?);
    let counted = counted(&node, pod)?;

    let pod = node.pod(LOUD)?;
    let new = flood(&node, &pod, "events", "10000000")?;
    let told = node.told(&pod)?;
    pod.remove()?;
    node.agent.stop()?;

    let row = |name: &str, unit, value, target| Row {
        name: format!("refused flows, {name}"),
        unit,
        value,
        against: None,
        target,
    };
    let apart = |a: u64, b: u64| number(a.abs_diff(b));
    let missing = DISTINCT.abs_diff(sights).try_into()?;
    Ok(vec![
        row("1,000 again and again", "/s", again.per_second, Target::AtLeast(1e5)),
        row("again and again: agent's CPU", "%", again.agent, Target::AtMost(100.0)),
        row("again and again: not told", "flows", number(missing), Target::AtMost(0.0)),
        row(
            "again and again: not counted",
            "",
            apart(counted, again.done.count("tries")),
            Target::AtMost(0.0),
        ),
        row("each a new one", "/s", new.per_second, Target::AtLeast(1e5)),
        row("each a new one: agent's CPU", "%", new.agent, Target::AtMost(100.0)),
        row(
            "each a new one: not counted",
            "",
            apart(told.refused, new.done.count("tries")),
            Target::AtMost(0.0),
        ),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
const fn number(count: u64) -> f64 {
    count as f64
}

/// Offers what is refused from one process for a while.
fn flood(node: &Neighbours, pod: &Pod, act: &str, count: &str) -> Result<Flood> {
    let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
    let pid = node.agent.process().pid();
    let refused = node.told(pod)?.refused;
    let flood = node.flood(pod, act, 1, &[&v4, &v6, "10000", "10", count])?;
    node.until(pod, "flooding", |told| told.refused > refused + 1000)?;
    let (begun, before, cpu) = (Instant::now(), node.told(pod)?.refused, cpu_seconds(pid)?);
    // Nothing is awaited here: what is measured is how much happens meanwhile.
    std::thread::sleep(MEASURED);
    let (after, cpu) = (node.told(pod)?.refused, cpu_seconds(pid)? - cpu);
    let seconds = begun.elapsed().as_secs_f64();
    let done = flood.end()?;
    ensure!(done.count("tries") == done.count("refused"), "something passed: {done}");
    let per_second = number(after - before) / seconds;
    Ok(Flood { done, per_second, agent: cpu / seconds * 100.0 })
}

fn distinct(violations: &[Event]) -> usize {
    let flows = violations.iter().map(|event| (event.proto(), event.ip(), event.port()));
    flows.collect::<BTreeSet<_>>().len()
}

/// The refusals that the account of a pod names, once it has ended.
fn counted(node: &Neighbours, pod: Pod) -> Result<u64> {
    let uid = pod.spec().uid.clone();
    pod.remove()?;
    node.agent.wait_for_many("phase=\"gone\"", 1, LIMIT)?;
    node.agent.records_come(&uid, "detach", 1)?;
    let flows = node.agent.records(&uid, "flow")?;
    let refused = flows.iter().filter(|event| event.verdict() == "block");
    Ok(refused.map(|event| event.number("/count")).sum())
}
