//! Whether the agent is ready, and what it waits for.

use crate::{
    containerd::{ContainerdState, Phase},
    health::{Condition, Readiness},
};

/// What the agent needs to be ready.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) programs: Condition,
    pub(super) containerd: Condition,
    pub(super) reconciled: Condition,
    /// Some policies could be used, by this agent or the one before.
    pub(super) policies: Condition,
}

impl Ready {
    pub(super) fn new(readiness: &Readiness) -> Self {
        Self {
            programs: readiness.condition("programs"),
            containerd: readiness.condition("containerd"),
            reconciled: readiness.condition("reconciled"),
            policies: readiness.condition("policies"),
        }
    }

    /// Says how it stands with containerd; whether there is news that it is in trouble.
    pub(super) fn follow(&self, state: &ContainerdState) -> bool {
        match (state.phase, &state.trouble) {
            (Phase::Following, _) => self.containerd.holds(),
            (phase, Some(trouble)) => self.containerd.fails(format!("{phase}: {trouble}")),
            (phase, None) => self.containerd.fails(phase.to_string()),
        }
        state.phase != Phase::Following && state.trouble.is_some()
    }
}
