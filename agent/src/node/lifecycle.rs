//! The states of a pod, and how often each was entered.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::containerd::Sandbox;

/// Where a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// containerd has told of it.
    Seen,
    /// Its hooks are being put in place; it is closed.
    Attaching,
    /// Its policy is in force.
    Enforcing,
    /// It has ended; its hooks are being removed.
    Draining,
    /// Nothing is left of it.
    Gone,
}

impl Phase {
    const ALL: [Self; 5] =
        [Self::Seen, Self::Attaching, Self::Enforcing, Self::Draining, Self::Gone];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Attaching => "attaching",
            Self::Enforcing => "enforcing",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often each state was entered.
#[derive(Debug, Default)]
pub(super) struct Transitions([AtomicU64; Phase::ALL.len()]);

impl Transitions {
    /// Traces and counts that a pod entered a state.
    pub(super) fn enter(&self, sandbox: &Sandbox, phase: Phase) {
        if let Some(counter) = self.0.get(phase as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        tracing::info!(
            sandbox = %sandbox.id,
            namespace = sandbox.pod.namespace,
            pod = sandbox.pod.name,
            phase = phase.as_str(),
            "pod"
        );
    }

    /// How often a state was entered.
    pub(super) fn count(&self, phase: Phase) -> u64 {
        self.0.get(phase as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}
