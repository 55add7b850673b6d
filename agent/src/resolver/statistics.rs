//! What became of all questions, counted for whoever watches the agent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the cache.
    Cached,
    /// Answered by an upstream server.
    Upstream,
    /// Answered by what the resolver knows by itself: `localhost`, the barrier's names, search-list noise.
    Local,
    /// Refused by policy.
    Refused,
    /// Answered although policy would refuse it: audit mode.
    Audited,
    /// Not answered: upstream failed, or a limit was reached.
    Failed,
    /// No question that can be understood.
    Malformed,
}

/// Upper ends of the latency histogram's buckets, in seconds: from a server on the node to the end of patience.
const SECONDS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.5, 4.5];

/// Counts since the resolver began.
#[derive(Debug)]
pub struct Statistics {
    questions: [AtomicU64; Outcome::ALL.len()],
    upstream: Histogram,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Cached,
        Self::Upstream,
        Self::Local,
        Self::Refused,
        Self::Audited,
        Self::Failed,
        Self::Malformed,
    ];

    /// The word that metrics carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Upstream => "upstream",
            Self::Local => "local",
            Self::Refused => "refused",
            Self::Audited => "audited",
            Self::Failed => "failed",
            Self::Malformed => "malformed",
        }
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self { questions: Default::default(), upstream: Histogram::new(SECONDS) }
    }
}

impl Statistics {
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(count) = self.questions.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn waited(&self, time: Duration) {
        self.upstream.observe(time.as_secs_f64());
    }

    /// How many questions came to each outcome.
    pub fn questions(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let counts = self.questions.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL.into_iter().zip(counts)
    }

    /// How long upstream took, in seconds, for each question that was asked there, failures included.
    #[must_use]
    pub const fn upstream(&self) -> &Histogram {
        &self.upstream
    }
}
