//! What the agent must be allowed to do.

use caps::{CapSet, Capability};

/// Without one of these no pod is enforced. Loading programs takes `CAP_BPF` and `CAP_PERFMON`, which `CAP_SYS_ADMIN`
/// includes and entering a network namespace takes anyway.
const NEEDED: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN];

/// Says which are lacking: what the kernel says to the first thing that fails names none.
pub(super) fn complain() {
    for capability in NEEDED {
        if !caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false) {
            tracing::error!(
                "without {capability} no pod can be enforced; the agent's Helm chart gives it"
            );
        }
    }
}
