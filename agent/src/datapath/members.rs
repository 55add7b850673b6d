//! Which cgroups are a pod's, as the hooks that see the whole machine know them.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use aya::maps::{Array, HashMap, MapData};
use weir_ebpf::lineage::{CGROUPS_OF_POD, Member};

use super::{error::DatapathError, kernel::Kernel};

/// The cgroups of all pods.
pub(super) struct Members {
    /// By their ids.
    pub(super) cgroups: HashMap<MapData, u64, Kernel<Member>>,
    /// How many of each slot's its own processes have made.
    pub(super) counts: Array<MapData, u64>,
}

impl Members {
    /// Enters a pod's cgroup, and what is below it already. What is made below from now on the kernel enters.
    pub(super) fn enter(&mut self, cgroup: &Path, slot: u32) -> Result<(), DatapathError> {
        let unreadable = |source| DatapathError::Cgroup { path: cgroup.to_owned(), source };
        let id = fs::metadata(cgroup).map_err(unreadable)?.ino();
        let member = Member { container: 0, slot, counted: 0 };
        self.insert(id, member)?;
        let mut room = CGROUPS_OF_POD - 1;
        self.below(cgroup, member, &mut room)?;
        if room == 0 {
            let cgroup = cgroup.display();
            tracing::warn!(%cgroup, "the pod has more cgroups than are known; processes in the others count as nobody's");
        }
        Ok(())
    }

    fn below(
        &mut self,
        folder: &Path,
        parent: Member,
        room: &mut usize,
    ) -> Result<(), DatapathError> {
        // A cgroup that goes meanwhile has no process.
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_dir() {
                continue;
            }
            let Some(left) = room.checked_sub(1) else { break };
            *room = left;
            let member = parent.below(metadata.ino(), false);
            self.insert(metadata.ino(), member)?;
            self.below(&entry.path(), member, room)?;
        }
        Ok(())
    }

    /// What the kernel has entered stays as it is, for it is counted.
    fn insert(&mut self, id: u64, member: Member) -> Result<(), DatapathError> {
        let known = self.cgroups.get(&id, 0).is_ok_and(|known| {
            known.0.slot == member.slot && known.0.container == member.container
        });
        if known {
            return Ok(());
        }
        self.cgroups
            .insert(id, Kernel(member), 0)
            .map_err(DatapathError::map("telling the kernel a pod's cgroup"))
    }

    /// Forgets all cgroups of a pod.
    pub(super) fn leave(&mut self, slot: u32) {
        let of_slot: Vec<u64> = self
            .cgroups
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, member)| member.0.slot == slot)
            .map(|(id, _)| id)
            .collect();
        for id in of_slot {
            // The kernel may have been first.
            self.cgroups.remove(&id).ok();
        }
        // Every slot has a place.
        self.counts.set(slot, 0, 0).ok();
    }
}
