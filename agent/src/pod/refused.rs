//! Names that a pod was refused: told apart as far as there is room, and counted beyond it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use weir_ebpf::{
    flow::{Client, Outcome},
    reason::{REASONS, Reason},
};

use super::{Totals, account::Account, lock};
use crate::{
    attribution::Identity,
    policy::{Mode, Profile, Provenance, RuleIndex},
    resolver::Refusal,
};

/// Distinct refused names of one tree that are told apart; the rest are counted as lost.
const NAMES: usize = 4096;

/// The refused and audited names of one pod.
#[derive(Debug, Default)]
pub(super) struct RefusedNames {
    names: Mutex<HashMap<Key, Counted>>,
    /// Questions by the place of their reason, those among them that are not told apart any more.
    refused: [AtomicU64; REASONS],
    audited: [AtomicU64; REASONS],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    tgid: u32,
    /// Which execution of that process id ([`weir_ebpf::process::ProcessKey::execution`]).
    execution: u16,
    name: String,
    reason: Reason,
    audited: bool,
}

#[derive(Clone, Debug)]
struct Counted {
    count: u64,
    first: SystemTime,
    last: SystemTime,
    process: Identity,
    provenance: Arc<Provenance>,
    rule: RuleIndex,
    /// Bits of [`weir_ebpf::flow::known`].
    known: u32,
}

/// What a question for a refused name is.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    /// The first of its process for this name and reason.
    First(Box<FirstSight>),
    /// A repeat, which is counted.
    Repeated,
    /// Perhaps a first one; there is no room to tell.
    NoRoom,
}

/// The first question of a process for a refused name.
#[derive(Clone, Debug)]
pub(super) struct FirstSight {
    /// When.
    pub(super) at: SystemTime,
    /// Whose.
    pub(super) process: Identity,
    /// Which rule refused it.
    pub(super) rule: RuleIndex,
}

/// What the journal keeps of it, so that the next agent can tell of it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptName {
    name: String,
    reason: u8,
    audited: bool,
    at_ms: u64,
    process: Identity,
    #[serde(default)]
    execution: u16,
    /// Digest of the profile.
    profile: String,
    rule: u16,
}

impl KeptName {
    /// Of a refusal that was seen for the first time.
    pub(super) fn new(refusal: &Refusal<'_, Client>, sight: &FirstSight) -> Self {
        let since = sight.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            name: refusal.name.to_owned(),
            reason: refusal.reason as u8,
            audited: refusal.verdict == Mode::Audit,
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            process: sight.process.clone(),
            execution: refusal.client.process.execution(),
            profile: refusal.profile.digest().to_owned(),
            rule: sight.rule.0,
        }
    }
}

#[cfg(test)]
impl KeptName {
    /// One of some process, for tests.
    pub(super) fn example(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            reason: Reason::DomainNotInAllowlist as u8,
            audited: false,
            at_ms: 1_700_000_000_000,
            process: Identity::default(),
            execution: 0,
            profile: "sha256:00".to_owned(),
            rule: RuleIndex::DEFAULT_DENY.0,
        }
    }
}

impl RefusedNames {
    /// Counts a question.
    pub(super) fn note(
        &self,
        refusal: &Refusal<'_, Client>,
        identify: impl FnOnce(&Client) -> Identity,
    ) -> Sight {
        let audited = refusal.verdict == Mode::Audit;
        self.count(audited, refusal.reason);
        let key = Key {
            tgid: refusal.client.process.tgid,
            execution: refusal.client.process.execution(),
            name: refusal.name.to_owned(),
            reason: refusal.reason,
            audited,
        };
        let now = SystemTime::now();
        let mut names = lock(&self.names);
        let room = names.len() < NAMES;
        match names.entry(key) {
            Entry::Occupied(mut seen) => {
                let seen = seen.get_mut();
                seen.count += 1;
                seen.last = now;
                Sight::Repeated
            }
            Entry::Vacant(_) if !room => Sight::NoRoom,
            Entry::Vacant(place) => {
                let process = identify(refusal.client);
                let rule = refusal.rule.unwrap_or(RuleIndex::DEFAULT_DENY);
                place.insert(Counted {
                    count: 1,
                    first: now,
                    last: now,
                    process: process.clone(),
                    provenance: Arc::clone(refusal.profile.provenance()),
                    rule,
                    known: refusal.client.known,
                });
                Sight::First(Box::new(FirstSight { at: now, process, rule }))
            }
        }
    }

    /// Takes over what an earlier agent saw; how often it saw it again is not known.
    pub(super) fn restore(&self, kept: &KeptName, current: &Arc<Profile>) {
        let Some(reason) = Reason::from_code(kept.reason) else { return };
        let at = UNIX_EPOCH + Duration::from_millis(kept.at_ms);
        // A rule is an index into its own profile alone.
        let is_current = kept.profile == current.digest();
        let rule = if is_current { RuleIndex(kept.rule) } else { RuleIndex::DEFAULT_DENY };
        let key = Key {
            tgid: kept.process.pid,
            execution: kept.execution,
            name: kept.name.clone(),
            reason,
            audited: kept.audited,
        };
        let counted = Counted {
            count: 1,
            first: at,
            last: at,
            process: kept.process.clone(),
            provenance: Arc::clone(current.provenance()),
            rule,
            known: 0,
        };
        self.count(kept.audited, reason);
        let mut names = lock(&self.names);
        if names.len() < NAMES {
            names.entry(key).or_insert(counted);
        }
    }

    /// Questions that were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Questions that audit mode let pass.
    pub(super) fn audited(&self) -> u64 {
        self.audited.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Adds all of them.
    pub(super) fn add_to(&self, totals: &mut Totals) {
        let sums = totals.refused.iter_mut().chain(&mut totals.audited);
        for (sum, count) in sums.zip(self.refused.iter().chain(&self.audited)) {
            *sum = sum.saturating_add(count.load(Ordering::Relaxed));
        }
    }

    /// Each name of each process that is told apart.
    pub(super) fn accounts(&self) -> Vec<Account> {
        let names = lock(&self.names);
        names
            .iter()
            .map(|(key, seen)| Account {
                process: seen.process.clone(),
                hosts: vec![key.name.clone()],
                ip: None,
                protocol: None,
                port: 0,
                past_ip: None,
                known: seen.known,
                outcome: if key.audited { Outcome::Audited } else { Outcome::Blocked },
                reason: Some(key.reason),
                provenance: Arc::clone(&seen.provenance),
                rule: seen.rule,
                count: seen.count,
                bytes_up: 0,
                bytes_down: 0,
                first: seen.first,
                last: seen.last,
            })
            .collect()
    }

    fn count(&self, audited: bool, reason: Reason) {
        let counts = if audited { &self.audited } else { &self.refused };
        if let Some(count) = counts.get(reason.place()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
