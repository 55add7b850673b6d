//! What happened when: counts in equal parts of the time that the records span.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::events::record::RecordVerdict;

/// Parts that are shown at most.
const PARTS: u64 = 120;
/// Widths of a part in seconds; each divides the next, so that parts can be joined.
const WIDTHS: [u64; 15] = [
    1,
    5,
    15,
    60,
    300,
    900,
    3600,
    10_800,
    43_200,
    86_400,
    7 * 86_400,
    28 * 86_400,
    364 * 86_400,
    3640 * 86_400,
    36_400 * 86_400,
];

/// Counts by time. Each count stands where the record does: a first sight when it happened, an account when it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// Index into [`WIDTHS`].
    width: usize,
    /// By number of the part since 1970.
    parts: BTreeMap<u64, Counts>,
}

/// The counts of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) refused: u64,
    pub(super) audited: u64,
    pub(super) allowed: u64,
}

/// One part, with counts or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
    pub(super) counts: Counts,
}

impl Counts {
    pub(super) const fn sum(self) -> u64 {
        self.refused.saturating_add(self.audited).saturating_add(self.allowed)
    }

    const fn add(&mut self, other: Self) {
        self.refused = self.refused.saturating_add(other.refused);
        self.audited = self.audited.saturating_add(other.audited);
        self.allowed = self.allowed.saturating_add(other.allowed);
    }
}

impl Timeline {
    pub(super) fn add(&mut self, at: SystemTime, verdict: RecordVerdict, count: u64) {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut counts = Counts::default();
        match verdict {
            RecordVerdict::Block => counts.refused = count,
            RecordVerdict::Audit => counts.audited = count,
            RecordVerdict::Allow => counts.allowed = count,
        }
        self.parts.entry(seconds / self.width()).or_default().add(counts);
        while self.len() > PARTS && self.width + 1 < WIDTHS.len() {
            self.widen();
        }
    }

    fn width(&self) -> u64 {
        WIDTHS.get(self.width).copied().unwrap_or(u64::MAX)
    }

    /// Parts from the first to the last with a count.
    fn len(&self) -> u64 {
        match (self.parts.first_key_value(), self.parts.last_key_value()) {
            (Some((first, _)), Some((last, _))) => last - first + 1,
            _ => 0,
        }
    }

    fn widen(&mut self) {
        let before = self.width();
        self.width += 1;
        let factor = self.width() / before;
        for (number, counts) in std::mem::take(&mut self.parts) {
            self.parts.entry(number / factor).or_default().add(counts);
        }
    }

    /// Every part from the first to the last, empty ones included.
    pub(super) fn parts(&self) -> Vec<Part> {
        let Some((first, _)) = self.parts.first_key_value() else { return Vec::new() };
        let time =
            |number: u64| UNIX_EPOCH + Duration::from_secs(number.saturating_mul(self.width()));
        (*first..first.saturating_add(self.len()))
            .map(|number| Part {
                from: time(number),
                to: time(number.saturating_add(1)),
                counts: self.parts.get(&number).copied().unwrap_or_default(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(seconds: &[u64]) -> Timeline {
        let mut timeline = Timeline::default();
        for second in seconds {
            let at = UNIX_EPOCH + Duration::from_secs(*second);
            timeline.add(at, RecordVerdict::Block, 1);
        }
        timeline
    }

    #[test]
    fn each_width_divides_the_next() {
        for pair in WIDTHS.windows(2) {
            assert_eq!(pair[1] % pair[0], 0, "{pair:?}");
        }
    }

    #[test]
    fn a_short_time_is_shown_in_seconds() {
        let parts = timeline(&[100, 100, 103]).parts();
        let counts: Vec<_> = parts.iter().map(|part| part.counts.refused).collect();
        assert_eq!(counts, [2, 0, 0, 1]);
        assert_eq!(parts[3].from, UNIX_EPOCH + Duration::from_secs(103));
        assert_eq!(timeline(&[]).parts(), []);
    }

    #[test]
    fn a_long_time_is_shown_in_wider_parts() {
        let parts = timeline(&[0, 86_399]).parts();
        assert_eq!(parts.len(), 96);
        assert_eq!(parts[0].to, UNIX_EPOCH + Duration::from_secs(900));
        // The last second that a record can name.
        assert!(timeline(&[0, 253_402_300_799]).parts().len() <= 120);
    }

    proptest! {
        #[test]
        fn parts_are_few_and_lose_nothing(seconds in prop::collection::vec(0..253_402_300_800_u64, 0..60)) {
            let parts = timeline(&seconds).parts();
            prop_assert!(parts.len() <= 120);
            let sum: u64 = parts.iter().map(|part| part.counts.sum()).sum();
            prop_assert_eq!(sum, seconds.len() as u64);
            for second in seconds {
                let at = UNIX_EPOCH + Duration::from_secs(second);
                prop_assert!(parts.iter().any(|part| part.from <= at && at < part.to && part.counts.sum() > 0));
            }
        }
    }
}
