//! Looks after what holds the pods in the kernel: finds within a second what somebody else has changed, and puts it right.
//!
//! Hooks, tables and the second layer are looked at again and again, because the kernel tells nobody of changes there. Of
//! changes to nftables it does. What cannot be put right is tried again at the next look.
//!
//! Invariant: what goes wrong with one pod, a panic too, keeps no other from being looked after.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    enforce::chain,
    enforced::{Enforced, Wire, lock},
};
use crate::{
    datapath::audit::{Found, Scratch},
    events::record::Repaired,
    netns::{NetnsError, filter::Filters, nftables},
    system::addresses::AddressChanges,
};

/// From one look to the next: with what a look and its repairs take, well below a second.
const LOOK: Duration = Duration::from_millis(800);
/// How long changes of a pod's nftables are collected before they are looked at: who makes many keeps nobody busy.
const SETTLE: Duration = Duration::from_millis(250);

/// How often each kind of thing was put right.
#[derive(Debug, Default)]
pub(super) struct Repairs([AtomicU64; Repaired::ALL.len()]);

impl Repairs {
    fn add(&self, what: Repaired, count: u64) {
        if let Some(counter) = self.0.get(what as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (Repaired, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        Repaired::ALL.into_iter().zip(counts)
    }
}

type Pods = Arc<Mutex<Vec<Weak<Enforced>>>>;

/// Looks after the pods that it was told of, for as long as they are held.
#[derive(Debug)]
pub(super) struct Auditor {
    pods: Pods,
    repairs: Arc<Repairs>,
    tasks: [JoinHandle<()>; 2],
}

impl Auditor {
    /// Must be called within a tokio runtime.
    pub(super) fn start() -> Self {
        let (pods, repairs) = (Pods::default(), Arc::<Repairs>::default());
        // Apart from each other: to be told of a device takes the RTNL lock, which CNI may hold for long.
        let tasks = [
            tokio::spawn(repeat(Arc::clone(&pods), Arc::clone(&repairs), look_at_tables)),
            tokio::spawn(repeat(Arc::clone(&pods), Arc::clone(&repairs), look_at_wires)),
        ];
        Self { pods, repairs, tasks }
    }

    pub(super) fn repairs(&self) -> &Arc<Repairs> {
        &self.repairs
    }

    /// Looks after one pod more.
    pub(super) fn add(&self, pod: &Arc<Enforced>) {
        lock(&self.pods).push(Arc::downgrade(pod));
    }

    /// Follows what the kernel tells of changes to a pod's nftables.
    pub(super) fn watch_capture(&self, pod: &Arc<Enforced>, changes: AddressChanges) {
        let task = follow_capture(Arc::downgrade(pod), changes, Arc::clone(&self.repairs));
        pod.watch_by(tokio::spawn(task));
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Looks at all pods that are held, by `look`, which keeps `T` from one time to the next.
async fn repeat<T: Default + Send + 'static>(
    pods: Pods,
    repairs: Arc<Repairs>,
    look: fn(&[Arc<Enforced>], &Repairs, &mut T),
) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = T::default();
    loop {
        looks.tick().await;
        let held: Vec<Arc<Enforced>> = {
            let mut pods = lock(&pods);
            pods.retain(|pod| pod.strong_count() > 0);
            pods.iter().filter_map(Weak::upgrade).collect()
        };
        let repairs = Arc::clone(&repairs);
        let looked = tokio::task::spawn_blocking(move || {
            look(&held, &repairs, &mut kept);
            kept
        });
        kept = looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the pods' enforcement could not be looked at");
            T::default()
        });
    }
}

fn look_at_tables(pods: &[Arc<Enforced>], repairs: &Repairs, scratch: &mut Scratch) {
    let Some(datapath) = pods.first().map(|pod| Arc::clone(pod.pod.datapath())) else { return };
    for ((index, _), found) in by_pod(pods, datapath.audit_tables(scratch)) {
        tell(index.and_then(|index| pods.get(index)).map(Arc::as_ref), found, repairs);
    }
    for pod in pods {
        apart(pod, || {
            let mut found = Vec::new();
            // Held to the end, so that nothing is put back of a pod that is being released.
            let mut attachment = lock(&pod.attachment);
            let Some(attachment) = attachment.as_mut() else { return };
            datapath.audit_hooks(attachment, &mut found);
            datapath.audit_slot(pod.pod.slot(), scratch, &mut found);
            datapath.retire_networks(pod.pod.slot(), scratch);
            for found in found {
                tell(Some(pod), found, repairs);
            }
            match pod.pod.audit_allowed(scratch) {
                Ok(0) => {}
                Ok(count) => repaired(Some(pod), Repaired::Allow, count, repairs),
                Err(error) => failed(Some(pod), Repaired::Allow, &chain(&error)),
            }
            pod.pod.tell_repairs();
        });
    }
}

/// What was found of each pod, by its place, and of each kind: thousands of entries of one table are told as one.
fn by_pod(pods: &[Arc<Enforced>], all: Vec<Found>) -> BTreeMap<(Option<usize>, Repaired), Found> {
    let mut together: BTreeMap<(Option<usize>, Repaired), Found> = BTreeMap::new();
    for found in all {
        let pod = pods.iter().position(|pod| pod.pod.slot().number() == found.slot);
        match together.entry((pod, found.what)) {
            Entry::Vacant(place) => drop(place.insert(found)),
            Entry::Occupied(place) => match (&mut place.into_mut().outcome, found.outcome) {
                (Ok(sum), Ok(count)) => *sum += count,
                (outcome @ Ok(_), Err(error)) => *outcome = Err(error),
                (Err(_), _) => {}
            },
        }
    }
    together
}

fn look_at_wires(pods: &[Arc<Enforced>], repairs: &Repairs, filters: &mut Filters) {
    for pod in pods {
        apart(pod, || {
            let Some(wire) = &pod.wire else { return };
            let (slot, datapath) = (pod.pod.slot().number(), pod.pod.datapath());
            let mut found = Vec::new();
            wire.with_attachments(|wires| {
                datapath.audit_wires(slot, wires, filters, &mut found);
            });
            for found in found {
                tell(Some(pod), found, repairs);
            }
        });
    }
}

/// Does what is to be done for one pod.
fn apart(pod: &Enforced, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!(pod = pod.sandbox.pod.name, "looking at a pod's enforcement panicked");
    }
}

async fn follow_capture(pod: Weak<Enforced>, mut changes: AddressChanges, repairs: Arc<Repairs>) {
    loop {
        if let Err(error) = changes.changed().await {
            tracing::warn!(%error, "the nftables of a pod can no longer be watched");
            return;
        }
        loop {
            sleep(SETTLE).await;
            let (pod, repairs) = (Weak::clone(&pod), Arc::clone(&repairs));
            let kept = tokio::task::spawn_blocking(move || {
                pod.upgrade().is_none_or(|pod| keep_capture(&pod, &repairs))
            });
            match kept.await {
                Ok(true) => break,
                Ok(false) => {}
                Err(_panicked_or_cancelled) => return,
            }
        }
    }
}

/// Puts the capture of a pod's questions in place, if it is not; whether it is now.
fn keep_capture(pod: &Enforced, repairs: &Repairs) -> bool {
    match pod.wire.as_ref().map(Wire::keep_capture) {
        None | Some(Ok(false)) => true,
        Some(Ok(true)) => {
            repaired(Some(pod), Repaired::Capture, 1, repairs);
            true
        }
        Some(Err(error)) => {
            failed(Some(pod), Repaired::Capture, &chain(&error));
            false
        }
    }
}

/// Why the capture of a pod's questions could not be put in place again.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error(transparent)]
    Netns(#[from] NetnsError),
    #[error(transparent)]
    Nftables(#[from] nftables::NftablesError),
}

impl Wire {
    /// Whether the capture had to be put in place again.
    fn keep_capture(&self) -> Result<bool, CaptureError> {
        self.netns.enter(|| {
            if nftables::is_installed(&self.capture)? {
                return Ok(false);
            }
            nftables::install(&self.capture)?;
            Ok(true)
        })?
    }
}

fn tell(pod: Option<&Enforced>, found: Found, repairs: &Repairs) {
    match found.outcome {
        Ok(count) => repaired(pod, found.what, count, repairs),
        Err(error) => failed(pod, found.what, &chain(&error)),
    }
}

fn repaired(pod: Option<&Enforced>, what: Repaired, count: u64, repairs: &Repairs) {
    repairs.add(what, count);
    // Without a pod it is a place that none has.
    if pod.is_none_or(|pod| pod.pod.note_repairs(what, count)) {
        tracing::warn!(
            pod = pod.map_or("", |pod| &pod.sandbox.pod.name),
            namespace = pod.map_or("", |pod| &pod.sandbox.pod.namespace),
            what = what.as_str(),
            count,
            "somebody has changed what holds a pod in the kernel; it is put right"
        );
    }
}

fn failed(pod: Option<&Enforced>, what: Repaired, error: &str) {
    tracing::error!(
        pod = pod.map_or("", |pod| &pod.sandbox.pod.name),
        what = what.as_str(),
        error,
        "what holds a pod in the kernel could not be looked at or put right; trying again"
    );
}
