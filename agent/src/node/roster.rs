//! Which pod is in which state: traced, counted, and told to whoever asks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use super::enforced::Enforced;
use crate::{
    containerd::{Sandbox, SandboxId},
    control::{PodState, PodStatus, PodsSource},
};

/// Where a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// containerd has told of it.
    Seen,
    /// Its hooks are in place as far as its network is there; it is closed.
    Prepared,
    /// Its hooks are being put in place; it is closed.
    Attaching,
    /// An attempt failed: it is closed, and there will be another.
    Failed,
    /// Its policy is in force.
    Enforcing,
    /// It has ended; its hooks are being removed.
    Draining,
    /// Nothing is left of it.
    Gone,
}

const PHASES: usize = 7;

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Prepared => "prepared",
            Self::Attaching => "attaching",
            Self::Failed => "failed",
            Self::Enforcing => "enforcing",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }

    /// As it is told over the control socket, which knows none that are gone.
    const fn told(self) -> Option<PodState> {
        match self {
            Self::Seen => Some(PodState::Seen),
            Self::Prepared => Some(PodState::Prepared),
            Self::Attaching => Some(PodState::Attaching),
            Self::Failed => Some(PodState::Failed),
            Self::Enforcing => Some(PodState::Enforcing),
            Self::Draining => Some(PodState::Draining),
            Self::Gone => None,
        }
    }
}

/// All pods that the agent cares for.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pods: RwLock<BTreeMap<SandboxId, Line>>,
    /// How often each state was entered.
    entered: [AtomicU64; PHASES],
}

#[derive(Debug)]
struct Line {
    sandbox: Sandbox,
    phase: PodState,
    since: SystemTime,
    enforced: Option<Arc<Enforced>>,
}

impl Roster {
    /// A pod entered a state. With `enforced` from the time on that there is something to tell of it.
    pub(super) fn enter(&self, sandbox: &Sandbox, phase: Phase, enforced: Option<&Arc<Enforced>>) {
        let count = self
            .entered
            .get(phase as usize)
            .map_or(0, |counter| counter.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        tracing::info!(
            sandbox = %sandbox.id,
            namespace = sandbox.pod.namespace,
            pod = sandbox.pod.name,
            phase = phase.as_str(),
            count,
            "pod"
        );
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let Some(phase) = phase.told() else {
            pods.remove(&sandbox.id);
            return;
        };
        let enforced = enforced.map(Arc::clone);
        let line = Line { sandbox: sandbox.clone(), phase, since: SystemTime::now(), enforced };
        pods.insert(sandbox.id.clone(), line);
    }
}

impl Roster {
    /// How many pods are in each state, by its word.
    pub(super) fn phases(&self) -> Vec<(&'static str, usize)> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let phases = [
            Phase::Seen,
            Phase::Prepared,
            Phase::Attaching,
            Phase::Failed,
            Phase::Enforcing,
            Phase::Draining,
        ];
        let count =
            |phase: Phase| pods.values().filter(|line| Some(line.phase) == phase.told()).count();
        phases.into_iter().map(|phase| (phase.as_str(), count(phase))).collect()
    }
}

impl PodsSource for Roster {
    fn pods(&self) -> Vec<PodStatus> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        pods.values().map(status).collect()
    }
}

fn status(line: &Line) -> PodStatus {
    let Line { sandbox, phase, since, enforced } = line;
    let pod = enforced.as_ref().map(|enforced| &enforced.pod);
    let profile = pod.map(|pod| pod.current_profile());
    let tally = pod.map(|pod| pod.tally()).unwrap_or_default();
    PodStatus {
        namespace: sandbox.pod.namespace.clone(),
        name: sandbox.pod.name.clone(),
        uid: sandbox.pod.uid.clone(),
        sandbox: sandbox.id.to_string(),
        profile: profile.as_ref().map(|profile| profile.name().to_owned()).unwrap_or_default(),
        mode: profile.map_or("", |profile| profile.mode().as_str()).to_owned(),
        state: *phase,
        since: humantime::format_rfc3339_millis(*since).to_string(),
        allow_entries: pod.map_or(0, |pod| u64::try_from(pod.entries()).unwrap_or(u64::MAX)),
        allowed: tally.allowed,
        refused: tally.refused,
        lost: tally.lost,
    }
}
