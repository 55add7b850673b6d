//! What must be so before anything is touched.

use caps::{CapSet, Capability};
use nix::unistd::geteuid;

use super::error::RunError;

/// What `weir run` itself cannot do without.
const NEEDED: [(Capability, &str); 4] = [
    (Capability::CAP_SYS_ADMIN, "CAP_SYS_ADMIN"),
    (Capability::CAP_BPF, "CAP_BPF"),
    (Capability::CAP_NET_ADMIN, "CAP_NET_ADMIN"),
    (Capability::CAP_SETPCAP, "CAP_SETPCAP"),
];

/// Checks that this process may do what is coming.
pub(super) fn check() -> Result<(), RunError> {
    if !geteuid().is_root() {
        return Err(RunError::NotRoot);
    }
    for (capability, name) in NEEDED {
        if !caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false) {
            return Err(RunError::MissingCapability(name));
        }
    }
    Ok(())
}
