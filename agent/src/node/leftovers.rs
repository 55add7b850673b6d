//! What earlier agents left of pods that have ended since.

use std::{collections::BTreeSet, fs, path::Path};

use super::{
    enforce::Enforcer,
    pins::{Pins, remove_folder},
};
use crate::containerd::{Listing, SandboxId};

/// Clears away the pins, slots and journals of pods that a complete listing does not hold. `slots` are those
/// that were in use when the agent started.
pub(super) fn clear(enforcer: &Enforcer, listing: &Listing, slots: &[u32]) {
    if let Some(unreadable) = listing.unreadable.first() {
        tracing::warn!(
            sandbox = unreadable.id,
            "a sandbox cannot be read: nothing of earlier agents is removed"
        );
        return;
    }
    let running: BTreeSet<SandboxId> =
        listing.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
    clear_pins(&enforcer.pins, &running);
    let adopted: BTreeSet<u32> = listing
        .sandboxes
        .iter()
        .filter_map(|sandbox| {
            let cgroup = sandbox.cgroup.below(&enforcer.cgroup_root);
            if enforcer.pins.of(&sandbox.id).exists() {
                return enforcer.datapath.slot_of(&cgroup);
            }
            // What is told there is of the pod's last sandbox, which ended while no agent ran.
            enforcer.datapath.forget(&cgroup);
            None
        })
        .collect();
    let left: Vec<u32> = slots.iter().copied().filter(|slot| !adopted.contains(slot)).collect();
    enforcer.datapath.release_left(&left);
    clear_journals(&enforcer.journals, &running);
}

fn clear_pins(pins: &Pins, running: &BTreeSet<SandboxId>) {
    for sandbox in pins.pinned() {
        if !running.contains(&sandbox) {
            tracing::info!(%sandbox, "removing what is left of a pod that has ended");
            remove_folder(&pins.of(&sandbox));
        }
    }
    pins.remove_others(running);
}

fn clear_journals(folder: &Path, running: &BTreeSet<SandboxId>) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let sandbox = entry.file_name().to_str().and_then(|name| SandboxId::new(name).ok());
        if sandbox.is_some_and(|sandbox| !running.contains(&sandbox))
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(%error, "the journal of a pod was left behind");
        }
    }
}
