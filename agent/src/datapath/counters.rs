//! What the slow paths count of each pod.

use std::os::fd::AsFd as _;

use aya::maps::{IterableMap as _, MapError};
use weir_ebpf::pod::{PodCounters, SLOTS};

use super::{batch, error::DatapathError, kernel::Kernel, object::Datapath, slot::Slot};

impl Datapath {
    /// The slow paths' counters of a pod.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn counters(&self, slot: &Slot) -> Result<PodCounters, DatapathError> {
        self.counters
            .get(&slot.number(), 0)
            .map(|counters| counters.0)
            .map_err(DatapathError::map("reading a pod's counters"))
    }

    /// The slow paths' counters of all slots, by number, in one read.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn all_counters(&self) -> Result<Vec<PodCounters>, DatapathError> {
        let mut all = vec![Kernel(PodCounters::default()); SLOTS];
        batch::read_array(self.counters.map().fd().as_fd(), &mut all).map_err(|error| {
            DatapathError::map("reading the pods' counters")(MapError::IoError(error))
        })?;
        Ok(all.into_iter().map(|counters| counters.0).collect())
    }
}
