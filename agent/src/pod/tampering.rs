//! What of a pod's enforcement somebody else has changed, and the agent has put right: told at once, and then counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use super::{EnforcedPod, PodError, lock};
use crate::{
    datapath::audit::Scratch,
    events::record::{Kind, Record, Repaired},
    policy::RuleIndex,
    system::clock::monotonic_ns,
};

/// How often repairs of one kind are told of a pod, at most. Who tampers in a loop fills no log.
const PAUSE: Duration = Duration::from_secs(10);

/// What was told of a pod's repairs, by kind.
#[derive(Debug, Default)]
pub(super) struct Tampering(BTreeMap<Repaired, Told>);

#[derive(Debug)]
struct Told {
    at: Instant,
    /// Repairs since then.
    untold: u64,
}

impl Tampering {
    /// Counts repairs; how many are to be told now.
    fn note(&mut self, what: Repaired, count: u64, now: Instant) -> Option<u64> {
        if let Some(told) = self.0.get_mut(&what) {
            told.untold = told.untold.saturating_add(count);
            return told.take(now);
        }
        self.0.insert(what, Told { at: now, untold: 0 });
        Some(count)
    }

    /// What has waited long enough, or all that waits.
    fn due(&mut self, now: Option<Instant>) -> Vec<(Repaired, u64)> {
        let waiting = self.0.iter_mut().filter(|(_, told)| told.untold > 0);
        let due = waiting.filter_map(|(what, told)| {
            let count = match now {
                Some(now) => told.take(now)?,
                None => std::mem::take(&mut told.untold),
            };
            Some((*what, count))
        });
        due.collect()
    }
}

impl Told {
    fn take(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.at) < PAUSE {
            return None;
        }
        self.at = now;
        Some(std::mem::take(&mut self.untold))
    }
}

impl EnforcedPod {
    /// Notes repairs of one kind, and tells of them unless some were told a moment ago; whether it did.
    pub fn note_repairs(&self, what: Repaired, count: u64) -> bool {
        let told = lock(&self.tampering).note(what, count, Instant::now());
        if let Some(count) = told {
            self.record_repairs(what, count, None);
        }
        told.is_some()
    }

    /// Tells of the repairs that have waited for it long enough.
    pub fn tell_repairs(&self) {
        let due = lock(&self.tampering).due(Some(Instant::now()));
        for (what, count) in due {
            self.record_repairs(what, count, None);
        }
    }

    /// Tells of all repairs that were not told, now that the pod has ended.
    pub(super) fn tell_last_repairs(&self, until: Option<Instant>) {
        let due = lock(&self.tampering).due(None);
        for (what, count) in due {
            self.record_repairs(what, count, until);
        }
    }

    fn record_repairs(&self, what: Repaired, count: u64, until: Option<Instant>) {
        let profile = self.current_profile();
        let rule = RuleIndex::DEFAULT_DENY;
        let record =
            self.recorder.record(Kind::Tamper, SystemTime::now(), profile.provenance(), rule);
        self.recorder.write_until(Record { repaired: Some(what), count, ..record }, until);
    }

    /// Takes away, or cuts, what the kernel allows beyond what was written there; how many entries that were.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn audit_allowed(&self, scratch: &mut Scratch) -> Result<u64, PodError> {
        // Who admits a name holds this lock from the kernel's table to the agent's own.
        let state = lock(&self.state);
        let (now, now_ns) = (Instant::now(), monotonic_ns());
        let limit = state.table.limit();
        Ok(self.slot.audit_allowed(scratch, limit, |endpoint| {
            Some(state.table.get(endpoint)?.for_kernel_at(now, now_ns))
        })?)
    }
}

#[cfg(test)]
mod tests;
