//! What is asked and answered.

use serde::{Deserialize, Serialize};

/// The version of question and answer. An agent answers a question of another version with an error.
pub const VERSION: u32 = 1;

/// The longest question, in bytes with the line's end.
pub(super) const QUESTION_BYTES: u64 = 4096;
/// The longest answer: some hundred pods of at most a few KiB each.
pub(super) const ANSWER_BYTES: u64 = 4 << 20;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) version: u32,
    pub(super) ask: Ask,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Pods,
}

/// The part of a question that every version has.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Versioned {
    pub(super) version: u32,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) version: u32,
    #[serde(flatten)]
    pub(super) says: Says,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Says {
    Pods(Vec<PodStatus>),
    Error(String),
}

/// One pod that the agent cares for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its sandbox's id.
    pub sandbox: String,
    /// The name of its profile.
    pub profile: String,
    /// `block` or `audit`.
    pub mode: String,
    /// How far it is.
    pub state: PodState,
    /// Since when it is in this state (RFC 3339, UTC).
    pub since: String,
    /// Entries of its allow map.
    pub allow_entries: u64,
    /// Flows that were let pass.
    pub allowed: u64,
    /// Flows that were refused (in audit mode: would have been).
    pub refused: u64,
    /// Events that could not be told.
    pub lost: u64,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodState {
    /// containerd has told of its sandbox.
    Seen,
    /// Its hooks are attached as far as its network is there, which is being made; it is closed.
    Prepared,
    /// Hooks are being attached.
    Attaching,
    /// Every hook that is required is attached and the profile is in force.
    Enforcing,
    /// It could not be enforced: its barrier never passes.
    Failed,
    /// Its sandbox has ended, its counters are being read.
    Draining,
}

impl PodState {
    /// The word that answers and tables use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Prepared => "prepared",
            Self::Attaching => "attaching",
            Self::Enforcing => "enforcing",
            Self::Failed => "failed",
            Self::Draining => "draining",
        }
    }
}
