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

/// Queues that one [`Share`] can be of.
pub(super) const QUEUES: usize = 3;

/// What one of the many holds of each queue.
#[derive(Debug, Default)]
pub struct Share([AtomicUsize; QUEUES]);

/// The queue.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    drained: Condvar,
    places: usize,
    /// Which of the queues it is, below [`QUEUES`].
    number: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(T, Arc<Share>)>,
    closed: bool,
}

impl<T> FairQueue<T> {
    pub(super) const fn new(places: usize, number: usize) -> Self {
        Self {
            state: Mutex::new(State { waiting: VecDeque::new(), closed: false }),
            filled: Condvar::new(),
            drained: Condvar::new(),
            places,
            number,
        }
    }

    fn held<'s>(&self, share: &'s Share) -> &'s AtomicUsize {
        let [first, ..] = &share.0;
        share.0.get(self.number).unwrap_or(first)
    }

    /// Puts an item in, unless its owner's share is used up: an owner may hold fewer places than are free. Waits for a place until then,
    /// where a time is given.
    pub(super) fn push(&self, share: &Arc<Share>, item: T, until: Option<Instant>) -> bool {
        let mut state = self.lock();
        loop {
            let held = self.held(share).load(Ordering::Relaxed);
            if held < self.places.saturating_sub(state.waiting.len()) {
                // Changed under the lock alone.
                self.held(share).store(held + 1, Ordering::Relaxed);
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
                return Some(self.take(item, &share));
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the oldest item out, if one comes until then; `None` also once the queue is closed and empty.
    pub(super) fn pop_until(&self, until: Instant) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some((item, share)) = state.waiting.pop_front() {
                return Some(self.take(item, &share));
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            let waited = self.filled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives back the place of what was taken out. Called under the lock.
    fn take(&self, item: T, share: &Share) -> T {
        self.held(share).fetch_sub(1, Ordering::Relaxed);
        self.drained.notify_all();
        item
    }

    /// Whether nothing more comes, though something may still wait.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether an owner finds no place at this moment.
    #[cfg(test)]
    pub(super) fn is_full_for(&self, share: &Share) -> bool {
        let state = self.lock();
        self.held(share).load(Ordering::Relaxed) >= self.places.saturating_sub(state.waiting.len())
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
