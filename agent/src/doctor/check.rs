//! One finding, and what all of them together mean to whoever asked.

use serde::Serialize;

/// What was looked at: a name for machines and one for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
}

/// What is found where nothing could be looked at.
const NOT_DONE: &str = "not checked: this process may not load programs into the kernel";

/// How a finding bears on the enforcement; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// weir works, and promises less.
    Weaker,
    /// weir cannot enforce, or it could not be told whether it can.
    Missing,
}

/// The finding of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A name that does not change from release to release.
    pub id: &'static str,
    /// What was looked at.
    pub title: &'static str,
    /// How it bears on the enforcement.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What gets weaker, or does not work.
    pub consequence: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Subject {
    pub(super) const fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title }
    }

    pub(super) fn ok(self, found: impl Into<String>) -> Check {
        let Self { id, title } = self;
        Check { id, title, state: State::Ok, found: found.into(), consequence: None, remedy: None }
    }

    pub(super) fn weaker(
        self,
        found: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        Check {
            state: State::Weaker,
            consequence: Some(consequence.into()),
            remedy: Some(remedy.into()),
            ..self.ok(found)
        }
    }

    pub(super) fn missing(
        self,
        found: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        Check { state: State::Missing, ..self.weaker(found, consequence, remedy) }
    }

    /// The check needs privileges that this process lacks.
    pub(super) fn unchecked(self) -> Check {
        self.missing(
            NOT_DONE,
            "whether weir can enforce here is not known",
            "run `weir doctor` as root",
        )
    }
}

impl Check {
    /// Whether anything was looked at; it is not where this process lacks the privileges.
    #[must_use]
    pub fn was_done(&self) -> bool {
        self.found != NOT_DONE
    }
}

/// 0 when all is well, 1 when something is weaker, 2 when weir cannot enforce.
#[must_use]
pub fn exit_code(checks: &[Check]) -> u8 {
    match checks.iter().map(|check| check.state).max() {
        None | Some(State::Ok) => 0,
        Some(State::Weaker) => 1,
        Some(State::Missing) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Subject = Subject::new("any", "anything");

    #[track_caller]
    fn check_code(checks: &[Check], code: u8) {
        assert_eq!(exit_code(checks), code, "{checks:?}");
    }

    #[test]
    fn the_worst_finding_decides() {
        let (ok, weaker, missing) =
            (ANY.ok("a"), ANY.weaker("a", "b", "c"), ANY.missing("a", "b", "c"));
        check_code(&[], 0);
        check_code(&[ok.clone(), ok.clone()], 0);
        check_code(&[ok.clone(), weaker.clone(), ok.clone()], 1);
        check_code(&[missing.clone(), weaker.clone(), ok.clone()], 2);
        check_code(&[weaker.clone(), missing], 2);
        check_code(&[ok, ANY.unchecked(), weaker], 2);
    }
}
