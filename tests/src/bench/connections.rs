//! New TCP connections per second over veth, each one opened, accepted, closed by the server and seen
//! closed before the next: a client that runs ahead fills the accept queue, and the second that its SYN
//! then waits is all that is measured.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::row::median;
use super::{Ground, Row, Target};
use crate::programs::Program;

/// Pairs of runs, taken in turn.
const PAIRS: usize = 7;
/// Connections of one run.
const COUNT: &str = "20000";
const LIMIT: Duration = Duration::from_secs(60);

/// One row per address family.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    ground.lab.web.listen_and_reset(5202)?;
    let storm = Program::Storm.path()?;
    let weir = ground.lab.weir().profile(&Ground::profile().text())?.limit(LIMIT);
    let mut rows = Vec::new();
    for (family, name) in [("4", "IPv4"), ("6", "IPv6")] {
        let argv = [storm.as_str(), family, "files.example.com", "5202", COUNT];
        let (mut plain, mut guarded) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            plain.push(rate(&ground.lab.client.run(&argv)?.expect_code(0)?.stdout)?);
            guarded.push(rate(&weir.run(&argv)?.expect_code(0)?.output.stdout)?);
        }
        rows.push(Row {
            name: format!("new TCP connections, {name}"),
            unit: "/s",
            value: median(guarded),
            against: Some(("no weir", median(plain))),
            target: Target::RatioAtLeast(0.93),
        });
    }
    Ok(rows)
}

fn rate(report: &str) -> Result<f64> {
    let report: Value = serde_json::from_str(report.trim()).context("reading storm's report")?;
    report.pointer("/per_second").and_then(Value::as_f64).context("no rate in storm's report")
}
