//! The kernel's account of the time that programs run.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::example;
use crate::exec::{self, Running};

const LIMIT: Duration = Duration::from_secs(10);

/// It is kept as long as this lives, and no longer than this process; that costs each program some nanoseconds.
pub(super) struct Accounts(#[expect(dead_code, reason = "held for its drop")] Running);

impl Accounts {
    pub(super) fn open() -> Result<Self> {
        let mut command = Command::new(example("guard_bench")?);
        command.arg("account");
        let holder = exec::spawn_with_input(command)?;
        let told = holder.wait_for_line(LIMIT, |line| line == "accounting");
        told.context("having programs timed")?;
        Ok(Self(holder))
    }
}
