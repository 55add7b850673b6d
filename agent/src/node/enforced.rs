//! One pod that is enforced, until it ends.

use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{enforce::chain, error::EnforceError, pins, pods::PodsBySlot, surroundings};
use crate::{
    bundle::Choice,
    containerd::Sandbox,
    datapath::{
        attach::Attachment,
        wire::{WireAttach, WireAttachment},
    },
    events::record::Kind,
    netns::{Netns, nftables::Capture, uplink},
    pod::{EnforcedPod, Surroundings},
    resolver::Server,
    system::cgroup,
};

/// How long the end of a pod waits for its events: they come at once, unless the agent gets no processor. The next
/// sandbox of the same pod waits with it, and the agent where it is told to end; nobody else does.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// A pod with everything in place.
pub(super) struct Enforced {
    pub(super) sandbox: Sandbox,
    pub(super) pod: Arc<EnforcedPod>,
    pub(super) server: Mutex<Option<Server>>,
    pub(super) attachment: Mutex<Option<Attachment>>,
    pub(super) cgroup: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) journal: PathBuf,
    /// The second layer; none for a pod on the node's own network.
    pub(super) wire: Option<Wire>,
    pub(super) watching: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Enforced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enforced").field("sandbox", &self.sandbox.id).finish_non_exhaustive()
    }
}

/// The second layer of one pod.
pub(super) struct Wire {
    pub(super) netns: Netns,
    how: WireAttach,
    guarded: Mutex<Guarded>,
    /// How the pod's questions are to be captured.
    pub(super) capture: Capture,
}

struct Guarded {
    attachments: Vec<WireAttachment>,
    surroundings: Surroundings,
    /// Nothing is added any more.
    ended: bool,
}

impl Wire {
    pub(super) fn new(
        netns: Netns,
        attachments: Vec<WireAttachment>,
        surroundings: Surroundings,
        how: WireAttach,
        capture: Capture,
    ) -> Self {
        let guarded = Guarded { attachments, surroundings, ended: false };
        Self { netns, how, guarded: Mutex::new(guarded), capture }
    }

    /// What is attached to its devices, for whoever looks after it; nothing once the pod ends.
    pub(super) fn with_attachments<T>(&self, work: impl FnOnce(&mut [WireAttachment]) -> T) -> T {
        work(&mut lock(&self.guarded).attachments)
    }
}

impl Enforced {
    pub(super) fn watch_by(&self, task: JoinHandle<()>) {
        lock(&self.watching).push(task);
    }

    /// Puts the profile into force that a bundle gives the pod.
    pub(super) fn assign(&self, choice: &Choice) {
        self.pod.recorder().set_scope(choice.scope);
        if let Err(error) = self.pod.assign(&choice.profile) {
            tracing::error!(
                pod = self.sandbox.pod.name,
                error = %chain(&error),
                "a profile could not be put into force; the kernel holds the old one, less what was revoked"
            );
        }
    }

    /// Reads the pod's network again: guards ways out that are new, and follows its inner networks.
    pub(super) fn refresh_network(&self) -> Result<(), EnforceError> {
        let Some(wire) = &self.wire else {
            let surroundings = Surroundings::of_this_machine()
                .map_err(EnforceError::system("reading the node's addresses"))?;
            return Ok(self.pod.enforce(surroundings)?);
        };
        let host_side = uplink::host_side(&wire.netns)?;
        let surroundings = surroundings::of_pod(&host_side)?;
        let mut guarded = lock(&wire.guarded);
        if guarded.ended {
            return Ok(());
        }
        let known: BTreeSet<u32> = guarded.attachments.iter().map(WireAttachment::device).collect();
        for uplink in host_side.uplinks.iter().filter(|uplink| !known.contains(&uplink.host)) {
            let slot = self.pod.slot().number();
            let datapath = self.pod.datapath();
            let attached = datapath.attach_wire(uplink.host, slot, Some(&self.folder), wire.how)?;
            guarded.attachments.push(attached);
        }
        if guarded.surroundings != surroundings {
            self.pod.enforce(surroundings.clone())?;
            guarded.surroundings = surroundings;
        }
        Ok(())
    }

    /// Whether a process is left in its cgroup: one that containerd does not tell of, or a container that is about
    /// to start.
    pub(super) fn is_populated(&self) -> bool {
        // What cannot be told must not keep what is gone.
        cgroup::is_populated(&self.cgroup).unwrap_or(false)
    }

    /// Waits until no process is left in its cgroup.
    pub(super) async fn emptied(&self) {
        tracing::info!(
            sandbox = %self.sandbox.id,
            "a pod has ended and left processes: it is enforced until they end"
        );
        if let Err(error) = cgroup::emptied(&self.cgroup).await {
            tracing::warn!(sandbox = %self.sandbox.id, %error, "a pod's processes cannot be watched");
        }
    }

    /// Takes everything away, now that the pod has ended, and tells what it did.
    ///
    /// Waits for the kernel; must be called on a thread that may.
    pub(super) fn release(&self, pods_by_slot: &PodsBySlot) {
        lock(&self.watching).drain(..).for_each(|task| task.abort());
        let attachments = self.wire.as_ref().map(|wire| {
            let mut guarded = lock(&wire.guarded);
            guarded.ended = true;
            std::mem::take(&mut guarded.attachments)
        });
        if let Some(server) = lock(&self.server).take() {
            server.shutdown();
        }
        self.pod.await_events(LAST_EVENTS);
        let _accounts = self.pod.settle();
        self.pod.record_phase(Kind::Detach);
        // First, so that an audit does not tell the hooks their slot again.
        let attachment = lock(&self.attachment).take();
        self.pod.datapath().forget(&self.cgroup);
        let detached: io::Result<()> = attachment.map_or(Ok(()), Attachment::detach);
        if let Err(error) = detached {
            tracing::warn!(%error, "a link of a pod could not be unpinned");
        }
        for attachment in attachments.into_iter().flatten() {
            if let Err(error) = self.pod.datapath().detach_wire(attachment) {
                tracing::warn!(%error, "the second layer of a pod could not be removed");
            }
        }
        pins::remove_folder(&self.folder);
        pods_by_slot.remove(&self.pod);
        self.pod.release();
        match fs::remove_file(&self.journal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the journal of a pod was left behind");
            }
            _ => {}
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
