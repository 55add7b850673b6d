//! The events of a pod that have come out of the kernel's ring, so that its end can wait for the last of them.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::{EnforcedPod, lock};

/// How many events have arrived.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    count: Mutex<u64>,
    another: Condvar,
}

impl Arrivals {
    /// One more has arrived, and is recorded.
    pub(super) fn note(&self) {
        *lock(&self.count) += 1;
        self.another.notify_all();
    }

    /// So many have arrived before anybody counted.
    fn begin_at(&self, count: u64) {
        *lock(&self.count) = count;
    }

    /// Waits until so many have arrived; how many have not after `limit`.
    fn wait_for(&self, wanted: u64, limit: Duration) -> u64 {
        let count = lock(&self.count);
        let result = self.another.wait_timeout_while(count, limit, |count| *count < wanted);
        let (count, _timeout) = result.unwrap_or_else(PoisonError::into_inner);
        wanted.saturating_sub(*count)
    }
}

impl EnforcedPod {
    /// Says that an agent before this one has taken out what the kernel has written so far.
    pub(super) fn skip_events(&self) {
        self.arrivals.begin_at(self.events_written());
    }

    /// Waits until every event that the kernel has written of this pod is recorded: what comes out of the ring
    /// later would be told of whoever has the slot then. What does not come in time is counted as lost.
    pub fn await_events(&self, limit: Duration) {
        self.recorder.lose(self.arrivals.wait_for(self.events_written(), limit));
    }

    fn events_written(&self) -> u64 {
        self.datapath.counters(&self.slot).map_or(0, |counters| counters.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_told_what_is_missing() {
        let arrivals = Arrivals::default();
        arrivals.note();
        assert_eq!(arrivals.wait_for(1, Duration::ZERO), 0);
        assert_eq!(arrivals.wait_for(3, Duration::from_millis(10)), 2);
        arrivals.begin_at(5);
        assert_eq!(arrivals.wait_for(3, Duration::ZERO), 0);
    }

    #[test]
    fn the_last_one_ends_the_wait() {
        let arrivals = Arrivals::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| arrivals.wait_for(1, Duration::from_secs(20)));
            arrivals.note();
            assert_eq!(waiting.join().unwrap(), 0);
        });
    }
}
