//! One case of a built suite, what it came to, and how a guest reports both to its host.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::exec::{self, DEFAULT_LIMIT};

/// A case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Case {
    /// The built suite; at the same place in a guest.
    pub(super) suite: PathBuf,
    /// Its name in there.
    pub(super) name: String,
}

/// What a case came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Whether it ran and ended well.
    pub(super) passed: bool,
    /// How long it took.
    pub(super) seconds: f64,
    /// Exit code and both streams if it failed, or why nobody knows them.
    pub(super) said: String,
    /// What it skipped, and for which reasons.
    pub(super) skipped: Vec<String>,
    /// Why the machine is of no use to other cases, if it is not.
    pub(super) left: Option<String>,
}

/// A line that a guest writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// The case with this place in the plan begins.
    Begun(usize),
    /// It has ended.
    Ended(usize, Outcome),
}

impl Case {
    /// The cases of `suites`, in order, whose name contains `only`.
    pub(super) fn of(suites: &[PathBuf], only: Option<&str>) -> Result<Vec<Self>> {
        let mut cases = Vec::new();
        for suite in suites {
            suite_name(suite).with_context(|| format!("{} is no built suite", suite.display()))?;
            let mut list = Command::new(suite);
            list.args(["--list", "--format", "terse"]);
            let said = exec::run(list, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
            let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
            let names = names.filter(|name| only.is_none_or(|part| name.contains(part)));
            cases.extend(names.map(|name| Self { suite: suite.clone(), name: name.to_owned() }));
        }
        Ok(cases)
    }

    /// The suite's name.
    pub(super) fn suite(&self) -> &str {
        suite_name(&self.suite).unwrap_or_default()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}::{}", self.suite(), self.name)
    }
}

impl Outcome {
    /// A case whose machine gave no answer.
    pub(super) fn lost(seconds: f64, said: String) -> Self {
        let left = Some("its machine is gone".to_owned());
        Self { passed: false, seconds, said, skipped: Vec::new(), left }
    }
}

/// `NAME` of `NAME-HASH`, as cargo calls what it builds.
fn suite_name(suite: &Path) -> Option<&str> {
    Some(suite.file_name()?.to_str()?.rsplit_once('-')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_known_by_its_file() {
        let case = Case { suite: "/t/pod_shapes-0a1b".into(), name: "hosts".to_owned() };
        assert_eq!(case.to_string(), "pod_shapes::hosts");
        let error = Case::of(&["/t/wire".into()], None).unwrap_err();
        assert!(error.to_string().contains("/t/wire is no built suite"), "{error}");
    }

    #[test]
    fn a_report_is_one_line_whatever_a_case_says() {
        let mut outcome = Outcome::lost(1.5, "two\nlines, \"quoted\"\r\n".to_owned());
        outcome.skipped.push("x: y".to_owned());
        let line = serde_json::to_string(&Report::Ended(3, outcome.clone())).unwrap();
        assert!(!line.contains(['\n', '\r']), "{line}");
        let Report::Ended(3, read) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(read, outcome);
    }
}
