//! Which cgroups are a pod's, as the hooks that see the whole machine know them.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use aya::maps::{HashMap, MapData};
use weir_ebpf::lineage::Member;

use super::{error::DatapathError, kernel::Kernel};

/// The cgroups of all pods, by their ids.
pub(super) type Members = HashMap<MapData, u64, Kernel<Member>>;

/// Enters a pod's cgroup, and what is below it already. What is made below from now on the kernel enters.
pub(super) fn enter(members: &mut Members, cgroup: &Path, slot: u32) -> Result<(), DatapathError> {
    let unreadable = |source| DatapathError::Cgroup { path: cgroup.to_owned(), source };
    let id = fs::metadata(cgroup).map_err(unreadable)?.ino();
    let member = Member { container: 0, slot, padding: 0 };
    insert(members, id, member)?;
    below(members, cgroup, member)
}

fn below(members: &mut Members, folder: &Path, parent: Member) -> Result<(), DatapathError> {
    // A cgroup that goes meanwhile has no process.
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let member = parent.below(metadata.ino());
            insert(members, metadata.ino(), member)?;
            below(members, &entry.path(), member)?;
        }
    }
    Ok(())
}

fn insert(members: &mut Members, id: u64, member: Member) -> Result<(), DatapathError> {
    members
        .insert(id, Kernel(member), 0)
        .map_err(DatapathError::map("telling the kernel a pod's cgroup"))
}

/// Forgets all cgroups of a pod.
pub(super) fn leave(members: &mut Members, slot: u32) {
    let of_slot: Vec<u64> = members
        .iter()
        .filter_map(Result::ok)
        .filter(|(_, member)| member.0.slot == slot)
        .map(|(id, _)| id)
        .collect();
    for id in of_slot {
        // The kernel may have been first.
        members.remove(&id).ok();
    }
}
