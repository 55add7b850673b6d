//! How well containerd is followed, for readiness.

use std::fmt;
use std::time::Instant;

/// What the watcher is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No connection, or the event stream is not proven yet.
    Connecting,
    /// The stream is followed; what runs is being listed.
    Listing,
    /// What runs is known and kept up to date.
    Following,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Listing => "listing",
            Self::Following => "following",
        })
    }
}

/// The watcher's state.
#[derive(Clone, Debug)]
pub struct ContainerdState {
    /// What it is doing.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// How often a connection was lost after what runs had been listed over it.
    pub restarts: u64,
    /// Why the last connection ended or could not be made; `None` while one is followed.
    pub trouble: Option<String>,
}

impl ContainerdState {
    pub(super) fn new() -> Self {
        Self { phase: Phase::Connecting, since: Instant::now(), restarts: 0, trouble: None }
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.since = Instant::now();
        }
        if phase == Phase::Following {
            self.trouble = None;
        }
    }

    pub(super) fn lose(&mut self, trouble: String) {
        if self.phase == Phase::Following {
            self.restarts = self.restarts.saturating_add(1);
        }
        self.enter(Phase::Connecting);
        self.trouble = Some(trouble);
    }
}
