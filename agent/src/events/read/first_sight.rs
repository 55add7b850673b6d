//! Counts nothing twice: the first sight of something is told at once as a `violation`, and again in the `flow` that
//! accounts for all of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher as _, RandomState},
};

use crate::events::record::{Kind, Record, RecordVerdict};

/// First sights that are remembered until their flow comes, and flows whose first sight has not been read. Each takes
/// some 16 bytes. Where pods end, theirs go.
const REMEMBERED: usize = 1 << 20;

/// First sights that wait for their flow.
#[derive(Debug, Default)]
pub(super) struct FirstSights {
    hasher: RandomState,
    /// By process and destination: first sights told less flows told. Never 0.
    waiting: HashMap<u64, i32>,
    /// The sum of those by pod, for the flow of what found no room to be told apart. Never 0.
    by_pod: HashMap<u64, i64>,
    not_remembered: u64,
}

impl FirstSights {
    /// What of the record's count has not been told before. A first sight that is read after its flow (files out of
    /// order) is no news either.
    pub(super) fn fresh(&mut self, record: &Record) -> u64 {
        let step = match (record.kind, record.verdict) {
            (Kind::Violation, Some(_)) => 1,
            (Kind::Flow, Some(RecordVerdict::Block | RecordVerdict::Audit)) => -1,
            _ => return record.count,
        };
        if record.destination.is_none() {
            return record.count - self.told_of_the_rest(record);
        }
        let key = self.key(record);
        let full = self.waiting.len() >= REMEMBERED;
        match self.waiting.entry(key) {
            Entry::Occupied(mut waiting) => {
                let was = *waiting.get();
                let sum = was.saturating_add(step);
                if sum == 0 {
                    waiting.remove();
                } else {
                    waiting.insert(sum);
                }
                let told = was.signum() == -step;
                self.step_pod(record, step);
                record.count.saturating_sub(u64::from(told))
            }
            Entry::Vacant(_) if full => {
                self.not_remembered += 1;
                record.count
            }
            Entry::Vacant(free) => {
                free.insert(step);
                self.step_pod(record, step);
                record.count
            }
        }
    }

    /// How many found no room.
    pub(super) const fn not_remembered(&self) -> u64 {
        self.not_remembered
    }

    /// How much of the flow of the rest its pod's first sights without a flow have told; the next reason's takes what is
    /// left of them.
    fn told_of_the_rest(&mut self, record: &Record) -> u64 {
        let pod = self.pod(record);
        let Some(left) = self.by_pod.get_mut(&pod) else { return 0 };
        let told = (*left).clamp(0, i64::try_from(record.count).unwrap_or(i64::MAX));
        *left -= told;
        if *left == 0 {
            self.by_pod.remove(&pod);
        }
        told.unsigned_abs()
    }

    fn step_pod(&mut self, record: &Record, step: i32) {
        let pod = self.pod(record);
        let sum = self.by_pod.entry(pod).or_default();
        *sum = sum.saturating_add(step.into());
        if *sum == 0 {
            self.by_pod.remove(&pod);
        }
    }

    fn pod(&self, record: &Record) -> u64 {
        let pod = record.pod.as_ref().map(|pod| pod.uid.as_str());
        let is_audit = record.verdict == Some(RecordVerdict::Audit);
        self.hasher.hash_one((&record.node, pod, is_audit))
    }

    /// What a flow has in common with its first sight. The name of an address may have changed, and the reason may have
    /// become clearer.
    fn key(&self, record: &Record) -> u64 {
        let pod = record.pod.as_ref().map(|pod| pod.uid.as_str());
        let pid = record.process.as_ref().map(|process| process.pid);
        let destination = record.destination.as_ref().map(|to| {
            let name = if to.proto == "dns" { to.host.as_deref() } else { None };
            (name, to.ip.filter(|_| to.proto != "dns"), to.port, to.proto.as_str())
        });
        let is_audit = record.verdict == Some(RecordVerdict::Audit);
        self.hasher.hash_one((&record.node, pod, pid, destination, is_audit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::read::testing::record;

    fn flow(count: u64) -> Record {
        Record { kind: Kind::Flow, count, ..record() }
    }

    #[test]
    fn a_flow_does_not_tell_of_its_first_sight_again() {
        let mut sights = FirstSights::default();
        assert_eq!(sights.fresh(&record()), 1);
        assert_eq!(sights.fresh(&flow(5)), 4);
        // A flow whose first sight is in no file, and then the first sight of the next.
        assert_eq!(sights.fresh(&flow(5)), 5);
        assert!(sights.waiting.len() == 1);
        assert_eq!(sights.fresh(&record()), 0);
        assert!(sights.waiting.is_empty());
    }

    #[test]
    fn an_allowed_flow_has_no_first_sight() {
        let mut sights = FirstSights::default();
        assert_eq!(sights.fresh(&record()), 1);
        let allowed = Record { verdict: Some(RecordVerdict::Allow), ..flow(5) };
        assert_eq!(sights.fresh(&allowed), 5);
    }

    #[test]
    fn processes_pods_and_destinations_are_told_apart() {
        let mut sights = FirstSights::default();
        let mut other = [record(), record(), record(), record()];
        other[0].process.as_mut().unwrap().pid += 1;
        other[1].destination.as_mut().unwrap().port = Some(80);
        other[2].pod = None;
        other[3].verdict = Some(RecordVerdict::Audit);
        assert_eq!(sights.fresh(&record()), 1);
        for other in other {
            assert_eq!(sights.fresh(&Record { kind: Kind::Flow, count: 7, ..other }), 7);
        }
    }

    #[test]
    fn an_address_whose_name_has_changed_is_the_same() {
        let mut sights = FirstSights::default();
        assert_eq!(sights.fresh(&record()), 1);
        let mut renamed = flow(3);
        renamed.destination.as_mut().unwrap().host = Some("other.example.com".to_owned());
        assert_eq!(sights.fresh(&renamed), 2);
    }

    #[test]
    fn first_sights_without_a_flow_of_their_own_are_in_that_of_the_rest() {
        let mut sights = FirstSights::default();
        let mut other = record();
        other.destination.as_mut().unwrap().port = Some(80);
        for violation in [&record(), &other, &other] {
            assert_eq!(sights.fresh(violation), 1);
        }
        assert_eq!(sights.fresh(&flow(5)), 4);
        let rest = Record { destination: None, process: None, ..flow(12) };
        // One such flow for each reason.
        assert_eq!(sights.fresh(&Record { count: 1, ..rest.clone() }), 0);
        assert_eq!(sights.fresh(&rest), 11);
        assert_eq!(sights.fresh(&Record { pod: None, ..rest }), 12);
        assert!(sights.by_pod.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_what_it_costs_is_told() {
        let mut sights = FirstSights::default();
        let mut one = record();
        for pid in 0..u32::try_from(REMEMBERED).unwrap() + 3 {
            one.process.as_mut().unwrap().pid = pid;
            sights.fresh(&one);
        }
        assert_eq!((sights.waiting.len(), sights.not_remembered()), (REMEMBERED, 3));
    }
}
