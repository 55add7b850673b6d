//! The kernel's account of the time that programs run.

use std::fs;

use anyhow::{Context, Result};

/// Whether it is kept.
const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// It is kept for as long as this lives, which costs each program some nanoseconds.
pub(super) struct Accounts {
    before: String,
}

impl Accounts {
    pub(super) fn open() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).context("reading whether programs are timed")?;
        fs::write(SWITCH, "1").context("having programs timed")?;
        Ok(Self { before })
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        fs::write(SWITCH, &self.before).ok();
    }
}
