//! First sights of refused and audited flows, as they leave the ring buffer.
//!
//! Invariant: what is taken out of the ring is said to the kernel, which gives each pod its share of what is free.

use std::collections::BTreeMap;

use aya::maps::{Array, MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use weir_ebpf::flow::Event;

use super::{error::DatapathError, kernel};

/// The ring as it was loaded, and the kernel's table of what was taken out of it.
pub struct LoadedRing {
    pub(super) ring: RingBuf<MapData>,
    pub(super) taken: Array<MapData, u64>,
}

impl std::fmt::Debug for LoadedRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedRing").finish_non_exhaustive()
    }
}

/// The event ring of all pods.
pub struct EventRing {
    ring: AsyncFd<RingBuf<MapData>>,
    taken: Array<MapData, u64>,
}

impl std::fmt::Debug for EventRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRing").finish_non_exhaustive()
    }
}

impl EventRing {
    /// Watches the ring; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the ring cannot be watched.
    pub fn new(loaded: LoadedRing) -> Result<Self, DatapathError> {
        let LoadedRing { ring, taken } = loaded;
        // SAFETY: the ring owns its file descriptor and keeps it open and unchanged until it is dropped,
        // which `AsyncFd` does after it has deregistered it.
        let ring = unsafe { AsyncFd::register(ring) };
        ring.map(|ring| Self { ring, taken }).map_err(|error| DatapathError::Ring(error.into()))
    }

    /// Waits for events and hands over all that have arrived.
    ///
    /// # Errors
    ///
    /// When the ring can no longer be watched.
    pub async fn next_batch(&mut self) -> Result<Vec<Event>, DatapathError> {
        loop {
            let mut guard = self.ring.readable_mut().await.map_err(DatapathError::Ring)?;
            let batch = drain(guard.get_inner_mut(), &mut self.taken);
            guard.clear_ready();
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// All events that have arrived by now.
    pub fn drain(&mut self) -> Vec<Event> {
        drain(self.ring.get_mut(), &mut self.taken)
    }
}

fn drain(ring: &mut RingBuf<MapData>, taken: &mut Array<MapData, u64>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(item) = ring.next() {
        events.extend(kernel::read::<Event>(&item));
    }
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for event in &events {
        *counts.entry(event.slot).or_default() += 1;
    }
    for (slot, count) in counts {
        let before = taken.get(&slot, 0).unwrap_or(0);
        if let Err(error) = taken.set(slot, before.saturating_add(count), 0) {
            tracing::warn!(slot, %error, "a pod's share of the event ring could not be given back");
        }
    }
    events
}
