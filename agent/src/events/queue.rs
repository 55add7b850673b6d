//! A bounded queue that many fill and one empties, and that none of the many can keep the others out of.
//!
//! Invariant: whoever puts something in leaves as many places free as it then holds, or one less.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// What one of the many holds of the queue.
#[derive(Debug, Default)]
pub struct Share(AtomicUsize);

/// The queue.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    drained: Condvar,
    places: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(T, Arc<Share>)>,
    closed: bool,
}

impl<T> FairQueue<T> {
    pub(super) const fn new(places: usize) -> Self {
        Self {
            state: Mutex::new(State { waiting: VecDeque::new(), closed: false }),
            filled: Condvar::new(),
            drained: Condvar::new(),
            places,
        }
    }

    /// Puts an item in, unless its owner's share is used up: an owner may hold fewer places than are free. Waits for a place until then,
    /// where a time is given.
    pub(super) fn push(&self, share: &Arc<Share>, item: T, until: Option<Instant>) -> bool {
        let mut state = self.lock();
        loop {
            let held = share.0.load(Ordering::Relaxed);
            if held < self.places.saturating_sub(state.waiting.len()) {
                // Changed under the lock alone.
                share.0.store(held + 1, Ordering::Relaxed);
                state.waiting.push_back((item, Arc::clone(share)));
                self.filled.notify_one();
                return true;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else { return false };
            let waited = self.drained.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the oldest item out; waits for one, until the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some((item, share)) = state.waiting.pop_front() {
                share.0.fetch_sub(1, Ordering::Relaxed);
                self.drained.notify_all();
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the reader end once it has read everything.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // What is kept under this lock is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
