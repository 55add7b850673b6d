//! How long one attempt may take, and with that how often weir and the cluster's DNS are asked.

use std::time::Duration;

/// Short, because weir is usually there before the barrier.
const FIRST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(500);

/// Growing slots of time: an attempt waits for its answer until the slot ends, and one that failed
/// at once leaves the rest of the slot unused.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    next: Duration,
}

impl Pace {
    /// Begins with the shortest slot.
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The slot of the next attempt.
    pub(crate) fn slot(&mut self) -> Duration {
        let slot = self.next;
        self.next = (slot * 2).min(LONGEST);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn slots_double_up_to_half_a_second() {
        let mut pace = Pace::new();
        let slots: Vec<u128> = (0..7).map(|_| pace.slot().as_millis()).collect();
        assert_eq!(slots, [25, 50, 100, 200, 400, 500, 500]);
    }
}
