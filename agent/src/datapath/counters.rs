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

    /// The slow paths' counters of the slots below a number, in one read.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn counters_below(&self, number: u32) -> Result<Vec<PodCounters>, DatapathError> {
        let count = usize::try_from(number).map_or(SLOTS, |number| number.min(SLOTS));
        let mut all = vec![Kernel(PodCounters::default()); count];
        batch::read_array(self.counters.map().fd().as_fd(), &mut all).map_err(|error| {
            DatapathError::map("reading the pods' counters")(MapError::IoError(error))
        })?;
        Ok(all.into_iter().map(|counters| counters.0).collect())
    }
}
