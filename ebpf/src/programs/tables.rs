//! The verdict's tables, read from the pod's maps.

use aya_ebpf::{
    btf_maps::lpm_trie,
    helpers::{bpf_ktime_get_ns, generated::bpf_ktime_get_coarse_ns},
};
use weir_ebpf::{
    address::{Address, Endpoint},
    pod::{AllowEntry, Network, NetworkKey},
    verdict::Tables,
};

use crate::maps::{ALLOW, COARSE_CLOCK, Clock, CurrentPod, NETWORKS};

impl Tables for CurrentPod {
    #[inline(always)]
    fn allow(&self, endpoint: &Endpoint) -> Option<AllowEntry> {
        let entry = ALLOW.get_value_ptr_mut(self.slot, endpoint)?;
        // SAFETY: the kernel returned it for this run; an entry that is replaced meanwhile is read
        // half old and half new at worst, and its two words do not depend on each other.
        Some(unsafe { entry.cast::<AllowEntry>().read() })
    }

    #[inline(always)]
    fn network(&self, address: &Address) -> Option<&Network> {
        network(NetworkKey::new(self.slot, self.state.bank, *address))
    }

    #[inline(always)]
    fn is_nodes(&self, address: &Address) -> bool {
        network(NetworkKey::of_node(*address)).is_some()
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        if self.now_ns.get() == 0 {
            self.now_ns.set(match self.clock {
                Clock::Coarse => now_ns(),
                Clock::Precise => precise_ns(),
            });
        }
        self.now_ns.get()
    }
}

#[inline(always)]
fn network(key: NetworkKey) -> Option<&'static Network> {
    NETWORKS.get(&lpm_trie::Key::new(NetworkKey::SLOT_BITS + u128::BITS, key))
}

/// The monotonic clock, in nanoseconds, as of the last tick where the kernel gives that (up to 10 ms
/// ago): lifetimes are seconds, and reading the precise one costs as much as a table lookup.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    if COARSE_CLOCK.load() != 0 {
        // SAFETY: the helper takes nothing. Where the kernel lacks it, the verifier knows that this is
        // never reached.
        unsafe { bpf_ktime_get_coarse_ns() }
    } else {
        precise_ns()
    }
}

#[inline(always)]
fn precise_ns() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
}
