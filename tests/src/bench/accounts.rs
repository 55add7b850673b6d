//! The kernel's account of the time that programs run.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use aya::sys::Stats;

/// It is kept as long as this lives, and no longer than this process; that costs each program some nanoseconds.
pub(super) struct Accounts(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

impl Accounts {
    pub(super) fn open() -> Result<Self> {
        let held = aya::sys::enable_stats(Stats::RunTime).context("having programs timed")?;
        Ok(Self(held))
    }
}
