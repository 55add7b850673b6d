//! What is put in place for a pod while CNI makes its network: its slot, the hooks at its cgroup, the program on
//! its veth.
//!
//! The kernel attaches a TCX link under the RTNL lock, which CNI wants too, and within an RCU grace period
//! (`tcx_entry_sync`; 7 to 12 ms measured on Linux 6.18), which a pod's start would have to wait for. containerd
//! tells of a sandbox before CNI is at work, 0.1 s and more before its pause process starts, and makes the pause
//! process's task when CNI is done. So all that needs nothing but the veth is done first, what needs the pod's
//! addresses next, and both ahead of the start. The pod is closed meanwhile, and nothing of it runs.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use tokio::sync::Notify;
use weir_ebpf::pod::PodState;

use super::{enforce::Enforcer, error::EnforceError};
use crate::{
    containerd::{Network, Sandbox},
    datapath::{attach::Attachment, slot::Slot, wire::WireAttachment},
    netns::{Netns, follow::FollowedLinks, uplink::HostSide},
};

/// A pod that is closed.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) slot: Slot,
    /// What an earlier agent left in the slot.
    pub(super) left: Option<PodState>,
    pub(super) attachment: Attachment,
    /// The second layer, as far as there were veths.
    pub(super) wires: Vec<WireAttachment>,
    /// Its network, if it has one of its own.
    pub(super) place: Option<Place>,
}

/// A pod's network, as far as it has one of its own.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) netns: Netns,
    pub(super) links: FollowedLinks,
    pub(super) host_side: HostSide,
}

impl Place {
    /// Needs a tokio runtime, and waits for the kernel where CNI has been at work.
    pub(super) fn of(sandbox: &Sandbox) -> Result<Option<Self>, EnforceError> {
        match &sandbox.network {
            Network::Host => Ok(None),
            Network::Namespace(path) => {
                let netns = Netns::open(path)?;
                let mut links = FollowedLinks::of(&netns)?;
                let host_side = links.host_side()?;
                Ok(Some(Self { netns, links, host_side }))
            }
        }
    }

    /// Looks at the links that are there now; addresses are not read.
    fn look(&mut self) -> Result<(), EnforceError> {
        self.links.catch_up()?;
        self.host_side = self.links.host_side()?;
        Ok(())
    }
}

/// Prepares a sandbox, and waits for its veth until `hurry` says not to.
pub(super) async fn ahead(
    enforcer: Arc<Enforcer>,
    sandbox: Sandbox,
    hurry: Arc<Notify>,
) -> Result<Prepared, EnforceError> {
    let folder = enforcer.pins.of(&sandbox.id);
    let mut prepared = {
        let enforcer = Arc::clone(&enforcer);
        waiting(move || {
            let prepared = enforcer.close(&sandbox)?;
            Ok(Prepared { place: Place::of(&sandbox)?, ..prepared })
        })
        .await?
    };
    loop {
        let (enforcer, folder) = (Arc::clone(&enforcer), folder.clone());
        prepared = waiting(move || {
            enforcer.guard(&mut prepared, &folder)?;
            Ok(prepared)
        })
        .await?;
        let is_guarded = !prepared.wires.is_empty();
        let Some(place) = prepared.place.as_mut().filter(|_| !is_guarded) else {
            return Ok(prepared);
        };
        tokio::select! {
            biased;
            heard = place.links.changed() => heard?,
            () = hurry.notified() => {
                // No uplink by all the news there were: the kernel is asked for what they may not tell.
                prepared.place = None;
                return Ok(prepared);
            }
        }
    }
}

/// On a thread that may wait for the kernel.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EnforceError> + Send + 'static,
) -> Result<T, EnforceError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| {
        let source = std::io::Error::other(panicked);
        Err(EnforceError::System { action: "preparing a pod", source })
    })
}

impl Enforcer {
    /// Closes a pod, unless an earlier agent has left it as open as its policy says.
    ///
    /// Waits for the kernel; must be called on a thread that may.
    pub(super) fn close(&self, sandbox: &Sandbox) -> Result<Prepared, EnforceError> {
        let folder = self.pins.of(&sandbox.id);
        let cgroup = sandbox.cgroup.below(&self.cgroup_root);
        fs::create_dir_all(&folder).map_err(EnforceError::system("making the pod's pin folder"))?;
        // A slot that the cgroup's hooks serve already holds what an earlier agent allowed.
        let (slot, left) = match self.datapath.slot_of(&cgroup) {
            Some(number) => {
                let (slot, state) = self.datapath.adopt_slot(number)?;
                (slot, Some(state))
            }
            None => (self.pool.take()?, None),
        };
        let attachment = self
            .datapath
            .attach(&cgroup, slot.number(), Some(&folder))
            .inspect_err(|_refused| self.give_back_unused(&cgroup, &slot))?;
        Ok(Prepared { slot, left, attachment, wires: Vec::new(), place: None })
    }

    /// Guards the host side of every veth that leads out now and is not guarded yet.
    pub(super) fn guard(&self, prepared: &mut Prepared, folder: &Path) -> Result<(), EnforceError> {
        let Some(place) = &mut prepared.place else { return Ok(()) };
        place.look()?;
        let known: BTreeSet<u32> = prepared.wires.iter().map(WireAttachment::device).collect();
        for uplink in place.host_side.uplinks.iter().filter(|uplink| !known.contains(&uplink.host))
        {
            let slot = prepared.slot.number();
            let how = self.wire_attach;
            let wire = self.datapath.attach_wire(uplink.host, slot, Some(folder), how)?;
            prepared.wires.push(wire);
        }
        Ok(())
    }

    /// Gives back the slot of an attempt that failed before any hook was told of it.
    fn give_back_unused(&self, cgroup: &Path, slot: &Slot) {
        if self.datapath.slot_of(cgroup) != Some(slot.number()) {
            self.datapath.release_slot(slot);
        }
    }
}
