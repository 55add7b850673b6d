//! In a machine: the cases that its host planned, each in a process of its own, until one leaves the machine unfit.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::case::{Case, Outcome, Report};
use crate::exec;
use crate::skip::SKIPS_FILE;
use crate::vm::EMULATION;
use crate::vm::health::Health;

/// Most time for one case, where nothing is emulated.
const LIMIT: Duration = Duration::from_secs(150);
/// The file in the machine's folder that names the cases.
const PLAN: &str = "plan";
/// Where the host listens.
const REPORTS: &str = "/dev/ttyS1";
/// Bytes of a case's output that are told, the last ones: a serial line is slow.
const MOST_SAID: usize = 64 << 10;

/// Writes what a machine finds in `folder`.
pub(super) fn plan(folder: &Path, cases: &[Case]) -> Result<()> {
    fs::write(folder.join(PLAN), serde_json::to_vec(cases)?).context("writing a machine's plan")
}

/// Most time from one report to the next, in a machine that is well.
pub(super) fn silence() -> Duration {
    // A guest knows by itself that it is one; this is asked on its host.
    LIMIT * EMULATION + Duration::from_secs(120)
}

/// Runs the plan in `folder`.
pub(super) fn run(folder: &Path) -> Result<()> {
    let plan = fs::read(folder.join(PLAN)).context("reading the machine's plan")?;
    let cases: Vec<Case> = serde_json::from_slice(&plan)?;
    let mut reports = File::options().write(true).open(REPORTS).context("opening a serial line")?;
    let mut tell = |report: &Report| -> Result<()> {
        let line = serde_json::to_string(report)? + "\n";
        reports.write_all(line.as_bytes()).context("reporting to the host")
    };
    let health = Health::now()?;
    for (place, case) in cases.iter().enumerate() {
        tell(&Report::Begun(place))?;
        let mut outcome = one(case)?;
        outcome.left = health.lost()?;
        let is_over = outcome.left.is_some();
        tell(&Report::Ended(place, outcome))?;
        if is_over {
            break;
        }
    }
    Ok(())
}

/// Runs one case.
fn one(case: &Case) -> Result<Outcome> {
    let skips = std::env::temp_dir().join("skips");
    fs::write(&skips, "")?;
    let mut command = Command::new(&case.suite);
    command.args(["--exact", &case.name, "--nocapture", "--test-threads", "1"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env(SKIPS_FILE, &skips).env("RUST_BACKTRACE", "0");
    let begun = Instant::now();
    let ended = exec::run(command, LIMIT);
    let seconds = begun.elapsed().as_secs_f64();
    let (passed, said) = match ended {
        // A suite that had found another name to run would have run nothing.
        Ok(output) if output.code == 0 && output.stdout.contains("1 passed") => (true, None),
        Ok(output) => (false, Some(output.describe())),
        Err(error) => (false, Some(format!("{error:#}"))),
    };
    let said = said.map(|said| last(&said, MOST_SAID).to_owned()).unwrap_or_default();
    let skipped = fs::read_to_string(&skips)?.lines().map(str::to_owned).collect();
    Ok(Outcome { passed, seconds, said, skipped, left: None })
}

/// The end of `text`, at most `most` bytes.
fn last(text: &str, most: usize) -> &str {
    let mut begin = text.len().saturating_sub(most);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    text.get(begin..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_the_end_is_told() {
        assert_eq!(last("abcdef", 3), "def");
        assert_eq!(last("abc", 3), "abc");
        assert_eq!(last("a\u{20ac}c", 3), "c", "no part of a sign");
    }

    #[test]
    fn a_case_that_is_not_there_has_not_passed() {
        let suite = std::env::current_exe().unwrap();
        let outcome = one(&Case { suite, name: "no_such_case".to_owned() }).unwrap();
        assert!(!outcome.passed && outcome.said.contains("0 passed"), "{outcome:?}");
    }
}
