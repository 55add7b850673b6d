//! Slots that are ready before a pod needs one: to give a slot its maps takes grace periods of the kernel,
//! tens of milliseconds that a pod's start would have to wait for.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use crate::datapath::{
    Datapath, DatapathError,
    slot::{PodLimits, Slot},
};

/// As many as a node starts before the next ones are ready.
const READY: usize = 32;
/// Threads that prepare them: the kernel's grace periods are waited for side by side.
const FILLERS: usize = 4;

/// The slots that are ready.
#[derive(Debug)]
pub(super) struct SlotPool {
    ready: Mutex<Receiver<Result<Slot, DatapathError>>>,
}

impl SlotPool {
    /// Begins to prepare slots; ends when it is dropped.
    pub(super) fn start(datapath: &Arc<Datapath>, limits: PodLimits) -> io::Result<Self> {
        // One is held by each thread that waits to hand it over.
        let (sender, ready) = sync_channel(READY - FILLERS);
        for _ in 0..FILLERS {
            let (datapath, sender) = (Arc::clone(datapath), sender.clone());
            thread::Builder::new()
                .name("weir-slots".to_owned())
                .spawn(move || while sender.send(datapath.prepare_slot(limits)).is_ok() {})?;
        }
        Ok(Self { ready: Mutex::new(ready) })
    }

    /// A slot; waits for one when a burst has used up what was ready.
    ///
    /// # Errors
    ///
    /// Why none can be prepared now.
    pub(super) fn take(&self) -> Result<Slot, DatapathError> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        // The threads end only after this receiver.
        let next = || ready.recv().unwrap_or(Err(DatapathError::NoSlot(0)));
        // A refusal may be as old as the pool: only one that comes behind as many others is of now.
        (0..READY).find_map(|_| next().ok()).map_or_else(next, Ok)
    }
}
