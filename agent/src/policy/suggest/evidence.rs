//! What speaks for an entry: how often it was seen, when, by which processes and in which jobs.

use std::time::SystemTime;

use super::sample::Sample;
use crate::system::utc;

/// Something that was seen, once or often, by one process of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How many connections, unconnected flows, or questions.
    pub count: u64,
    /// The name of the process, as the job gave it.
    pub process: Option<String>,
    /// The job, in a word or a link.
    pub job: Option<String>,
    /// When it was first seen.
    pub first: SystemTime,
    /// When it was last seen.
    pub last: SystemTime,
}

/// All that was seen of one destination.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    count: u64,
    /// Nothing could be connected to: it is questions that were counted.
    only_asked: bool,
    processes: Sample<5, 100>,
    jobs: Sample<3, 500>,
    first: SystemTime,
    last: SystemTime,
}

impl Evidence {
    pub(super) fn of(seen: &Seen) -> Self {
        let mut evidence = Self {
            count: 0,
            only_asked: false,
            processes: Sample::default(),
            jobs: Sample::default(),
            first: seen.first,
            last: seen.last,
        };
        evidence.add(seen);
        evidence
    }

    /// Of questions that led nowhere.
    pub(super) fn of_questions(seen: &Seen) -> Self {
        Self { only_asked: true, ..Self::of(seen) }
    }

    /// What was counted, in the singular.
    pub(super) const fn thing(&self) -> &'static str {
        if self.only_asked { "question" } else { "connection" }
    }

    pub(super) fn add(&mut self, seen: &Seen) {
        self.count = self.count.saturating_add(seen.count);
        if let Some(process) = &seen.process {
            self.processes.add(process);
        }
        if let Some(job) = &seen.job {
            self.jobs.add(job);
        }
        self.first = self.first.min(seen.first);
        self.last = self.last.max(seen.last);
    }

    /// All of it together; none of none.
    pub(super) fn sum<'a>(mut parts: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut sum = parts.next()?.clone();
        for part in parts {
            sum.merge(part);
        }
        Some(sum)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.only_asked &= other.only_asked;
        self.processes.merge(&other.processes);
        self.jobs.merge(&other.jobs);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// One or two lines: `12 connections by git, curl; 2026-11-23T08:00:00Z to 2026-11-23T08:01:00Z`, and the jobs where
    /// they are known. `thing` is what was counted, in the singular.
    pub(super) fn lines(&self, thing: &str) -> Vec<String> {
        let by = if self.processes.is_empty() {
            "unknown processes".to_owned()
        } else {
            self.processes.list()
        };
        let plural = if self.count == 1 { "" } else { "s" };
        let (first, last) = (utc::format(self.first), utc::format(self.last));
        let mut lines = vec![format!("{} {thing}{plural} by {by}; {first} to {last}", self.count)];
        if !self.jobs.is_empty() {
            let plural = if self.jobs.count() == 1 { "job" } else { "jobs" };
            lines.push(format!("in {} {plural}: {}", self.jobs.describe_count(), self.jobs.list()));
        }
        lines
    }
}
