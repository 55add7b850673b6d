//! First sights of refused and audited flows, as they leave the ring buffer.

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use weir_ebpf::flow::Event;

use super::{error::DatapathError, kernel};

/// The event ring of all pods.
pub struct EventRing {
    ring: AsyncFd<RingBuf<MapData>>,
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
    pub fn new(ring: RingBuf<MapData>) -> Result<Self, DatapathError> {
        // SAFETY: the ring owns its file descriptor and keeps it open and unchanged until it is dropped,
        // which `AsyncFd` does after it has deregistered it.
        let ring = unsafe { AsyncFd::register(ring) };
        ring.map(|ring| Self { ring }).map_err(|error| DatapathError::Ring(error.into()))
    }

    /// Waits for events and hands over all that have arrived.
    ///
    /// # Errors
    ///
    /// When the ring can no longer be watched.
    pub async fn next_batch(&mut self) -> Result<Vec<Event>, DatapathError> {
        loop {
            let mut guard = self.ring.readable_mut().await.map_err(DatapathError::Ring)?;
            let batch = drain(guard.get_inner_mut());
            guard.clear_ready();
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// All events that have arrived by now.
    pub fn drain(&mut self) -> Vec<Event> {
        drain(self.ring.get_mut())
    }
}

fn drain(ring: &mut RingBuf<MapData>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(item) = ring.next() {
        events.extend(kernel::read::<Event>(&item));
    }
    events
}
