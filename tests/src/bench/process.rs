//! What a process takes, by what the kernel tells of it.

use std::fs;

use anyhow::{Context, Result};

/// A field of /proc/PID/status, KiB.
pub(super) fn status_kib(pid: i32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.and_then(|value| value.split_whitespace().next());
    Ok(value.with_context(|| format!("no {field}"))?.parse()?)
}

/// User and system time of a process (`proc_pid_stat(5)`, fields 14 and 15, in ticks of 10 ms).
pub(super) fn cpu_seconds(pid: i32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("reading a process's times")?;
    let ticks: u32 =
        rest.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
