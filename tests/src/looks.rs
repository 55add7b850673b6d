//! Looking again and again at what tells nobody when it changes.

use std::time::{Duration, Instant};

use crate::vm::patient;

/// Between the first looks.
const SHORTEST: Duration = Duration::from_millis(5);
/// Between those of a long wait.
const LONGEST: Duration = Duration::from_millis(200);

/// Looks within a time, the rarer the longer it takes: what is looked at needs the processor, too, and on an emulated one a
/// look may take as long as what it is for.
#[derive(Debug)]
pub struct Looks {
    begun: Instant,
    limit: Duration,
}

impl Looks {
    /// For at most `limit`, or longer in a machine that is emulated.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit: patient(limit) }
    }

    /// Waits for the next look; false when the time is over.
    #[must_use]
    pub fn again(&self) -> bool {
        let elapsed = self.begun.elapsed();
        let goes_on = elapsed < self.limit;
        if goes_on {
            std::thread::sleep(pause(elapsed));
        }
        goes_on
    }
}

/// An eighth of the time so far: what is waited for is seen that much late at most.
fn pause(elapsed: Duration) -> Duration {
    (elapsed / 8).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_looks_often_at_first_and_seldom_later() {
        let mut elapsed = Duration::ZERO;
        let mut looks = 0;
        while elapsed < Duration::from_secs(10) {
            elapsed += pause(elapsed);
            looks += 1;
        }
        assert!((60..90).contains(&looks), "{looks}");
    }

    #[test]
    fn the_time_is_over_once() {
        let looks = Looks::within(Duration::from_millis(20));
        let begun = Instant::now();
        while looks.again() {}
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert!(!looks.again());
    }
}
