//! Memory: what `weir run` keeps resident, and what the kernel keeps for its maps.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::process::status_kib;
use super::{Ground, Row, Target};

const LIMIT: Duration = Duration::from_secs(20);
const MIB: f64 = 1024.0 * 1024.0;

/// Two rows, read while a command that has resolved and connected is still there.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let script = "curl -sS -o /dev/null https://files.example.com/; echo up; exec sleep 30";
    let weir = ground.lab.weir().profile(&Ground::profile().text())?;
    let run = weir.start(&["sh", "-c", script])?;
    run.process().wait_for_line(LIMIT, |line| line == "up")?;
    let pid = run.process().pid();
    let resident = status_kib(pid, "VmRSS:")? * 1024.0 / MIB;
    let maps = map_bytes(pid)? / MIB;
    run.process().signal(nix::sys::signal::Signal::SIGTERM)?;
    run.finish(LIMIT)?;
    Ok(vec![
        Row {
            name: "memory of `weir run`, resident".to_owned(),
            unit: "MiB",
            value: resident,
            against: None,
            target: Target::AtMost(25.0),
        },
        Row {
            name: "kernel maps of one tree".to_owned(),
            unit: "MiB",
            value: maps,
            against: None,
            target: Target::AtMost(1.0),
        },
    ])
}

/// Sum of `memlock` over the process's BPF maps, each counted once.
fn map_bytes(pid: i32) -> Result<f64> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        };
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id.to_bits(), bytes);
        }
    }
    ensure!(!maps.is_empty(), "weir holds no BPF map open");
    Ok(maps.values().sum())
}
