//! The capabilities that could undo the enforcement, and their removal.

use std::io;

use caps::{CapSet, Capability};

use super::LaunchError;

/// What the command goes without: packet sockets, routes and filters, BPF, mounts and namespaces of
/// others, other processes' memory, kernel modules and kernel memory.
pub(super) const REMOVED: [Capability; 8] = [
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_RAWIO,
];

/// Removes them for good: from the bounding set, so that no program gets them back by being started.
pub(super) fn drop_all() -> Result<(), LaunchError> {
    for capability in REMOVED {
        // A kernel that does not know a capability cannot grant it either.
        if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
            drop_one(CapSet::Bounding, capability)?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        for capability in REMOVED {
            drop_one(set, capability)?;
        }
    }
    Ok(())
}

fn drop_one(set: CapSet, capability: Capability) -> Result<(), LaunchError> {
    caps::drop(None, set, capability).map_err(failed)
}

fn failed(error: caps::errors::CapsError) -> LaunchError {
    LaunchError::System { action: "dropping capabilities", source: io::Error::other(error) }
}
