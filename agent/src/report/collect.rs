//! Adds records up.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    table::{Distinct, Table, Tally},
    text::short,
    timeline::Timeline,
    who::{Attempt, Verdict, Where, Who},
};
use crate::events::{
    read::Entry,
    record::{Kind, RecordVerdict},
};

/// What the records add up to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(super) records: u64,
    pub(super) warnings: Vec<String>,
    /// Events that weir itself could not record.
    pub(super) lost: u64,
    /// First and last sight.
    pub(super) span: Option<(SystemTime, SystemTime)>,
    pub(super) nodes: Distinct,
    pub(super) pods: Distinct,
    pub(super) total: Tally,
    pub(super) attempts: Table<Attempt>,
    pub(super) destinations: Table<Where>,
    pub(super) processes: Table<String>,
    pub(super) reasons: BTreeMap<&'static str, Tally>,
    pub(super) timeline: Timeline,
}

impl Report {
    /// How many records were read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// What a person should know of the files.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        self.warnings.extend(warnings);
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let record = &entry.record;
        self.records += 1;
        self.nodes.add(&record.node);
        if let Some(pod) = &record.pod {
            self.pods.add(&pod.uid);
        }
        let (first, last) = self.span.unwrap_or((entry.since, entry.at));
        self.span = Some((first.min(entry.since), last.max(entry.at)));
        match (record.kind, record.verdict, &record.destination) {
            (Kind::Lost, ..) => self.lost = self.lost.saturating_add(record.count),
            (Kind::Violation | Kind::Flow, Some(verdict), destination) => {
                let to = destination.as_ref().map_or_else(Where::untold, Where::of);
                self.add_sight(entry, verdict, to);
            }
            _ => {}
        }
    }

    fn add_sight(&mut self, entry: &Entry, verdict: RecordVerdict, to: Where) {
        let record = &entry.record;
        self.timeline.add(entry.at, verdict, entry.fresh);
        self.total.add(entry, verdict);
        self.destinations.row(to.clone()).add(entry, verdict);
        let process = match &record.process {
            Some(process) => short(&process.comm),
            None => "(not known)".to_owned(),
        };
        self.processes.row(process.clone()).add(entry, verdict);
        let verdict_shown = match verdict {
            RecordVerdict::Allow => return,
            RecordVerdict::Block => Verdict::Refused,
            RecordVerdict::Audit => Verdict::Audited,
        };
        let reason = record.reason.map_or("(none)", |reason| reason.0.as_str());
        self.reasons.entry(reason).or_default().add(entry, verdict);
        let who = Who::of(record);
        let attempt = Attempt { who, to, verdict: verdict_shown, reason, process };
        self.attempts.row(attempt).add(entry, verdict);
    }
}
