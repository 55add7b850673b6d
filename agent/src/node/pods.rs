//! The pods that the agent knows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Instant,
};

use tokio::sync::Notify;
use weir_ebpf::flow::Event;

use super::{enforced::Enforced, prepare::Prepared};
use crate::{
    containerd::{Sandbox, SandboxId},
    pod::{EnforcedPod, Totals, containers::Containers},
    policy::Mode,
};

/// One pod.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) sandbox: Sandbox,
    pub(super) stage: Stage,
    /// Its network is complete.
    pub(super) ready: bool,
    /// When it was told that its pause process runs.
    pub(super) started: Option<Instant>,
    /// It started, or one of its containers did, while it was being cleared away.
    pub(super) returned: bool,
    pub(super) containers: Arc<Containers>,
}

impl Known {
    /// Whether it is being cleared away, or will be.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(
            self.stage,
            Stage::Draining
                | Stage::Attaching { ended: true, .. }
                | Stage::Preparing { ended: true, .. }
        )
    }
}

/// Where it stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waiting for the pod's last sandbox, which has the same cgroup, to be cleared away.
    Waiting,
    /// Being prepared while CNI is at work.
    Preparing {
        /// Told when its network is complete, or it ends.
        hurry: Arc<Notify>,
        /// It has ended meanwhile.
        ended: bool,
    },
    /// Prepared, as far as that worked; to be enforced when its network is complete.
    Prepared(Option<Box<Prepared>>),
    /// Being enforced.
    Attaching {
        /// Attempts that have failed.
        failures: u32,
        /// It has ended meanwhile.
        ended: bool,
    },
    /// Enforced.
    Enforcing(Arc<Enforced>),
    /// Enforced, although it has ended by what containerd tells: something is left in its cgroup.
    Lingering(Arc<Enforced>),
    /// Ended; being cleared away.
    Draining,
}

/// All of them.
pub(super) type Pods = BTreeMap<SandboxId, Known>;

/// Whose events carry which slot, and what all pods came to.
#[derive(Debug, Default)]
pub(super) struct PodsBySlot(RwLock<Slots>);

#[derive(Debug, Default)]
struct Slots {
    pods: HashMap<u32, Arc<EnforcedPod>>,
    /// Of pods that are gone.
    past: Totals,
}

impl PodsBySlot {
    pub(super) fn insert(&self, pod: &Arc<EnforcedPod>) {
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        slots.pods.insert(pod.slot().number(), Arc::clone(pod));
    }

    /// Forgets a pod, and keeps what it came to.
    pub(super) fn remove(&self, pod: &EnforcedPod) {
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if slots.pods.remove(&pod.slot().number()).is_some() {
            slots.past.add(&pod.totals());
        }
    }

    /// What all pods came to since the agent began, those that are gone included.
    pub(super) fn totals(&self) -> Totals {
        let slots = self.read();
        let mut totals = slots.past.clone();
        for pod in slots.pods.values() {
            totals.add(&pod.totals());
        }
        totals
    }

    pub(super) fn len(&self) -> usize {
        self.read().pods.len()
    }

    /// How many pods have a policy in this mode.
    pub(super) fn in_mode(&self, mode: Mode) -> usize {
        let is_in_mode = |pod: &&Arc<EnforcedPod>| pod.current_profile().mode() == mode;
        self.read().pods.values().filter(is_in_mode).count()
    }

    /// How many allow entries the pod has that has the most.
    pub(super) fn most_entries(&self) -> usize {
        self.read().pods.values().map(|pod| pod.entries()).max().unwrap_or_default()
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a first sight for the pod that it is of.
    pub(super) fn record(&self, event: &Event) {
        let pod = { self.read().pods.get(&event.slot).map(Arc::clone) };
        if let Some(pod) = pod {
            pod.record_event(event);
        } else {
            // Left in the ring by a pod that ended while no agent ran.
            tracing::warn!(slot = event.slot, "an event of a pod that is gone");
        }
    }
}
