//! What passed, failed and was skipped, and the closing line.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::shell::say;

/// Running totals. Skips are what the suites wrote to their file: a closed set of reasons, in
/// `tests/src/skip.rs`; a test that does not run for any other reason has failed.
#[derive(Debug)]
pub(super) struct Summary {
    passed: usize,
    failed: Vec<String>,
    skips: PathBuf,
    begun: Instant,
}

impl Summary {
    /// Empty, and so is the file of skips. All that counts began at `begun`.
    pub(super) fn new(skips: PathBuf, begun: Instant) -> Result<Self> {
        if let Some(folder) = skips.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&skips, "").context("emptying the list of skips")?;
        Ok(Self { passed: 0, failed: Vec::new(), skips, begun })
    }

    /// Says what comes next, and after how long.
    pub(super) fn begin(&self, what: &str) {
        say(&format!("=== {what} (after {})", self.elapsed()));
    }

    fn elapsed(&self) -> String {
        let seconds = self.begun.elapsed().as_secs();
        format!("{} min {} s", seconds / 60, seconds % 60)
    }

    /// Counts tests that passed.
    pub(super) const fn add_passed(&mut self, count: usize) {
        self.passed += count;
    }

    /// Counts one failure.
    pub(super) fn add_failed(&mut self, name: &str) {
        self.failed.push(name.to_owned());
    }

    /// Counts one step by its result.
    pub(super) fn note(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                say(&format!("ok     {name}"));
                self.add_passed(1);
            }
            Err(error) => {
                say(&format!("FAILED {name}: {error:#}"));
                self.add_failed(name);
            }
        }
    }

    /// Prints skips, failures and the closing line; whether nothing failed.
    pub(super) fn report(&self) -> Result<bool> {
        let text = fs::read_to_string(&self.skips).context("reading the list of skips")?;
        let skipped: BTreeSet<&str> = text.lines().collect();
        for line in &skipped {
            say(&format!("skipped {line}"));
        }
        for name in &self.failed {
            say(&format!("failed  {name}"));
        }
        self.begin("the end");
        say(&format!("{} passed, {} failed", self.passed, self.failed.len()));
        Ok(self.failed.is_empty() && self.passed > 0)
    }
}
