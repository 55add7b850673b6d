//! Whether a machine is still what it was before a case: a kernel without complaints, room, and nobody left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::patient;
use crate::exec::{self, DEFAULT_LIMIT};

/// How long what a case has killed may take to be gone.
const LIMIT: Duration = Duration::from_secs(5);
/// Flags of `/proc/sys/kernel/tainted` and what they mean (tainted-kernels.rst).
const TAINTS: [(u32, &str); 3] =
    [(7, "the kernel died"), (9, "the kernel warned"), (HUNG, "a processor hung")];
/// The flag that says so of a processor: of an emulated one of a busy machine it may be wrong.
const HUNG: u32 = 14;
/// The part of the memory that must be free, in percent.
const ROOM: u64 = 25;

/// What a kernel has complained of so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taints(u64);

impl Taints {
    /// As it is now.
    pub(super) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/sys/kernel/tainted")?;
        text.trim().parse().map(Self).context("reading the kernel's flags")
    }

    /// The worst of what it had not complained of `before`.
    fn since(self, before: Self) -> Option<&'static str> {
        let new = self.0 & !before.0;
        TAINTS.iter().find(|(bit, _)| new & (1 << bit) != 0).map(|(_, about)| *about)
    }

    /// An error with the kernel's words if it has warned of itself or died since it was as `self`.
    pub(super) fn none_since(self) -> Result<()> {
        let Some(about) = Self(Self::now()?.0 & !(1 << HUNG)).since(self) else { return Ok(()) };
        let log = exec::run(Command::new("dmesg"), DEFAULT_LIMIT)?.stdout;
        let trace =
            log.split_once("cut here ]------------").map_or(log.as_str(), |(_, trace)| trace);
        bail!("{about}: {trace}")
    }
}

/// What a machine was like.
#[derive(Debug)]
pub(super) struct Health {
    taints: Taints,
    processes: BTreeSet<i32>,
}

impl Health {
    /// As it is now.
    pub(super) fn now() -> Result<Self> {
        Ok(Self { taints: Taints::now()?, processes: processes()?.into_keys().collect() })
    }

    /// Why it is not fit for another case, if it is not.
    pub(super) fn lost(&self) -> Result<Option<String>> {
        if let Some(about) = Taints::now()?.since(self.taints) {
            return Ok(Some(about.to_owned()));
        }
        let deadline = Instant::now() + patient(LIMIT);
        // Nobody hears of the end of what is not its child.
        loop {
            let mut others = processes()?;
            others.retain(|pid, _| !self.processes.contains(pid));
            let Some((pid, name)) = others.first_key_value() else { break };
            if Instant::now() > deadline {
                let count = others.len();
                return Ok(Some(format!("{count} processes were left, {name} ({pid}) and others")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let (free, total) = memory()?;
        let is_full = free * 100 < total * ROOM;
        Ok(is_full.then(|| format!("{} MiB of memory were left", free >> 10)))
    }
}

/// Every process that has a program and has not ended, with its name.
fn processes() -> Result<BTreeMap<i32, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Gone meanwhile is as good as ended. `PID (NAME) STATE PARENT …` (proc(5)).
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((before, after)) = stat.rsplit_once(')') else { continue };
        let mut fields = after.split_whitespace();
        let (state, parent) = (fields.next(), fields.next());
        let name = before.split_once('(').map_or("", |(_, name)| name);
        // The kernel's own threads are 2 and its children; they come and go.
        if pid != 2 && parent != Some("2") && !matches!(state, Some("Z" | "X")) {
            found.insert(pid, name.to_owned());
        }
    }
    Ok(found)
}

/// Kibibytes that are free, and of all.
fn memory() -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let field = |name: &str| -> Result<u64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(name));
        let number = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("no {name} in /proc/meminfo"))
    };
    Ok((field("MemAvailable:")?, field("MemTotal:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_stays_is_told() {
        let health = Health::now().unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let sleeper = exec::spawn(sleep).unwrap();
        let others = processes().unwrap();
        assert_eq!(others.get(&sleeper.pid()).map(String::as_str), Some("sleep"));
        assert!(!health.processes.contains(&sleeper.pid()));
        assert!(health.processes.contains(&std::process::id().cast_signed()));
    }

    #[test]
    fn a_flag_that_was_there_before_is_nothing_new() {
        let (none, warned) = (Taints(0), Taints(1 << 9));
        assert_eq!(warned.since(none), Some("the kernel warned"));
        assert_eq!(warned.since(warned), None);
        assert_eq!(Taints(u64::MAX).since(warned), Some("the kernel died"));
        Taints(u64::MAX).none_since().unwrap();
    }

    #[test]
    fn memory_is_told() {
        let (free, total) = memory().unwrap();
        assert!(0 < free && free < total);
    }
}
