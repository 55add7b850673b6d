//! What following processes costs: the time that the kernel spends in weir's tracepoints, by its own account, for each
//! process that is forked, becomes another program and ends.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::accounts::Accounts;
use super::{Ground, Row, Target};
use crate::exec;

const LIMIT: Duration = Duration::from_secs(60);
const COUNT: f64 = 2000.0;
/// Starts `true` that often.
const PROGRAMS: &str = "at=0; while [ $at -lt 2000 ]; do /bin/true; at=$((at+1)); done";
/// `BPF_PROG_TYPE_TRACING` (include/uapi/linux/bpf.h).
const TRACING: f64 = 26.0;

/// Two rows: processes of a tree under weir, and processes of others.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let _accounts = Accounts::open()?;
    let (inside, outside) = cost(ground)?;
    let row = |name: &str, nanoseconds: f64, most| Row {
        name: name.to_owned(),
        unit: "ns",
        value: nanoseconds / COUNT,
        against: None,
        target: Target::AtMost(most),
    };
    Ok(vec![
        row("a process of a tree: fork, exec and exit", inside, 2000.0),
        row("a process of nobody's: fork, exec and exit", outside, 1000.0),
    ])
}

/// Nanoseconds that weir's tracing programs run while a tree starts programs, and while somebody else does.
fn cost(ground: &Ground) -> Result<(f64, f64)> {
    let held = format!("{PROGRAMS}; echo done; exec sleep 60");
    let weir = ground.lab.weir().profile(&Ground::profile().text())?;
    let run = weir.start(&["sh", "-c", &held])?;
    let pid = run.process().pid();
    run.process().wait_for_line(LIMIT, |line| line == "done")?;
    let inside = spent(pid)?;
    let mut others = Command::new("sh");
    others.args(["-c", PROGRAMS]);
    exec::run(others, LIMIT)?.expect_code(0)?;
    let outside = spent(pid)? - inside;
    run.process().signal(Signal::SIGTERM)?;
    run.finish(LIMIT)?;
    Ok((inside, outside))
}

/// Nanoseconds that the process's tracing programs have run.
fn spent(pid: i32) -> Result<f64> {
    let mut sum = 0.0;
    let mut programs = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        };
        if field("prog_type:") == Some(TRACING) {
            sum += field("run_time_ns:").context("the kernel accounts for no program")?;
            programs += 1;
        }
    }
    ensure!(programs > 0, "weir follows no process");
    Ok(sum)
}
