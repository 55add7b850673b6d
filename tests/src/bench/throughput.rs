//! TCP throughput over veth, by iperf3, one stream and eight.
//!
//! Both ends keep to one CPU, so that throughput is what a byte costs in CPU time. On a CPU each,
//! who does the receiver's softirq work and how many packets share a wakeup moves the result by 20 % and
//! more from run to run, without weir too.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::row::median;
use super::{Ground, Row, Target};
use crate::exec::{self, Running};

/// Pairs of runs, one without and one with weir, taken in turn so that drift hits both.
const PAIRS: usize = 9;
const SECONDS: &str = "2";
/// The client's CPU and the server's.
const CPUS: &str = "0,0";
const LIMIT: Duration = Duration::from_secs(60);

/// One row per number of streams.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let _server = serve(ground)?;
    ["1", "8"].iter().map(|streams| row(ground, streams)).collect()
}

fn row(ground: &Ground, streams: &str) -> Result<Row> {
    let client = "files.example.com";
    let argv = [
        "iperf3", "-4", "-A", CPUS, "-c", client, "-p", "5201", "-t", SECONDS, "-P", streams, "-J",
    ];
    let weir = ground.lab.weir().profile(&Ground::profile().text())?.limit(LIMIT);
    let (mut plain, mut guarded) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        plain.push(gigabits(&ground.lab.client.run(&argv)?.expect_code(0)?.stdout)?);
        guarded.push(gigabits(&weir.run(&argv)?.expect_code(0)?.output.stdout)?);
    }
    Ok(Row {
        name: format!("TCP throughput on one CPU, {streams} stream(s)"),
        unit: "Gbit/s",
        value: median(guarded),
        against: Some(("no weir", median(plain))),
        target: Target::RatioAtLeast(0.97),
    })
}

fn serve(ground: &Ground) -> Result<Running> {
    let mut command = ground.lab.web.host().enter("iperf3");
    command.args(["--server", "--port", "5201", "--forceflush"]);
    let server = exec::spawn(command).context("starting iperf3")?;
    server.wait_for_line(Duration::from_secs(5), |line| line.contains("listening"))?;
    Ok(server)
}

/// What the receiver got, by iperf3's own report.
pub(super) fn gigabits(report: &str) -> Result<f64> {
    let report: Value = serde_json::from_str(report).context("reading iperf3's report")?;
    let bits = report.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64);
    Ok(bits.context("no sum in iperf3's report")? / 1e9)
}
