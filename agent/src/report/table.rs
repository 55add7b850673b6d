//! Rows that add up, as many as there is room for.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher as _},
    time::SystemTime,
};

use super::text::short;
use crate::{
    events::{
        read::Entry,
        record::{GitlabInfo, RecordVerdict},
    },
    identity::told::Told,
};

/// Distinct rows of one table; what comes after them is added up together.
const ROWS: usize = 20_000;
/// Distinct jobs of one row that are counted.
const JOBS: usize = 500;

/// A table of sums by key.
#[derive(Clone, Debug)]
pub(super) struct Table<K> {
    rows: HashMap<K, Tally>,
    rest: Tally,
}

/// What was counted in one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) refused: u64,
    pub(super) audited: u64,
    pub(super) allowed: u64,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
    /// First and last sight.
    pub(super) span: Option<(SystemTime, SystemTime)>,
    pub(super) jobs: Distinct,
    /// The link to the last job, where GitLab itself told it.
    pub(super) last_job: Option<String>,
}

/// The rows to show.
#[derive(Debug)]
pub(super) struct Shown<'a, K> {
    pub(super) rows: Vec<(&'a K, &'a Tally)>,
    /// How many more there are.
    pub(super) more: usize,
    /// The sum of what had no row of its own.
    pub(super) rest: Option<&'a Tally>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { rows: HashMap::new(), rest: Tally::default() }
    }
}

impl<K: Hash + Ord> Table<K> {
    pub(super) fn row(&mut self, key: K) -> &mut Tally {
        if self.rows.len() >= ROWS && !self.rows.contains_key(&key) {
            return &mut self.rest;
        }
        self.rows.entry(key).or_default()
    }

    /// The rows with the highest value that is not 0, at most so many.
    pub(super) fn top<V: Ord + Default>(
        &self,
        most: usize,
        value: impl Fn(&Tally) -> V,
    ) -> Shown<'_, K> {
        let mut rows: Vec<(&K, &Tally)> =
            self.rows.iter().filter(|(_, tally)| value(tally) > V::default()).collect();
        rows.sort_by(|(key, tally), (other_key, other)| {
            value(other).cmp(&value(tally)).then_with(|| key.cmp(other_key))
        });
        let more = rows.len().saturating_sub(most);
        rows.truncate(most);
        let rest = Some(&self.rest).filter(|rest| value(rest) > V::default());
        Shown { rows, more, rest }
    }

    /// How many rows have a value that is not 0, and whether there may be more.
    pub(super) fn count(&self, value: impl Fn(&Tally) -> u64) -> (usize, bool) {
        let count = self.rows.values().filter(|tally| value(tally) > 0).count();
        (count, value(&self.rest) > 0)
    }
}

impl Tally {
    pub(super) fn add(&mut self, entry: &Entry, verdict: RecordVerdict) {
        let count = match verdict {
            RecordVerdict::Block => &mut self.refused,
            RecordVerdict::Audit => &mut self.audited,
            RecordVerdict::Allow => &mut self.allowed,
        };
        *count = count.saturating_add(entry.fresh);
        self.bytes_up = self.bytes_up.saturating_add(entry.record.bytes_up);
        self.bytes_down = self.bytes_down.saturating_add(entry.record.bytes_down);
        let (first, last) = self.span.unwrap_or((entry.since, entry.at));
        self.span = Some((first.min(entry.since), last.max(entry.at)));
        if let Some(pod) = &entry.record.pod {
            self.jobs.add(&pod.uid);
        }
        let url = entry.record.gitlab.as_ref().and_then(GitlabInfo::told_job_url);
        if let Some(url) = url.and_then(Told::fact) {
            self.last_job = Some(short(url));
        }
    }

    pub(super) const fn count(&self) -> u64 {
        self.refused.saturating_add(self.audited).saturating_add(self.allowed)
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes_up.saturating_add(self.bytes_down)
    }
}

/// How many distinct texts there were, up to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Distinct {
    hashes: HashSet<u64>,
    is_more: bool,
}

impl Distinct {
    pub(super) fn add(&mut self, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if self.hashes.len() < JOBS {
            self.hashes.insert(hash);
        } else {
            self.is_more |= !self.hashes.contains(&hash);
        }
    }

    /// `12`, or `more than 500`.
    pub(super) fn describe(&self) -> String {
        let count = self.hashes.len();
        if self.is_more { format!("more than {count}") } else { count.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::read::testing::{read_bytes, value};

    fn entry() -> Entry {
        let (entries, _) = read_bytes(value().to_string().as_bytes());
        entries.into_iter().next().unwrap()
    }

    #[test]
    fn the_highest_come_first_and_equals_in_order() {
        let mut table = Table::default();
        for (key, times) in [("c", 1), ("a", 1), ("b", 3), ("d", 2)] {
            for _ in 0..times {
                table.row(key).add(&entry(), RecordVerdict::Block);
            }
        }
        table.row("allowed").add(&entry(), RecordVerdict::Allow);
        let shown = table.top(3, |tally| tally.refused);
        let keys: Vec<_> = shown.rows.iter().map(|(key, _)| **key).collect();
        assert_eq!((keys, shown.more, shown.rest), (vec!["b", "d", "a"], 1, None));
        assert_eq!(table.count(|tally| tally.refused), (4, false));
    }

    #[test]
    fn what_finds_no_room_is_added_up() {
        let mut table = Table::default();
        for key in 0..ROWS + 5 {
            table.row(key).add(&entry(), RecordVerdict::Block);
        }
        table.row(0).add(&entry(), RecordVerdict::Block);
        let shown = table.top(1, |tally| tally.refused);
        assert_eq!((*shown.rows[0].0, shown.rows[0].1.refused, shown.more), (0, 2, ROWS - 1));
        assert_eq!(shown.rest.unwrap().refused, 5);
        assert_eq!(table.count(|tally| tally.refused), (ROWS, true));
    }

    #[test]
    fn jobs_are_counted_up_to_a_bound() {
        let mut jobs = Distinct::default();
        for uid in 0..JOBS {
            jobs.add(&uid.to_string());
            jobs.add("0");
        }
        assert_eq!(jobs.describe(), JOBS.to_string());
        jobs.add("another");
        assert_eq!(jobs.describe(), format!("more than {JOBS}"));
    }
}
