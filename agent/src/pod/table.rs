//! The agent's own account of what it allowed: the kernel's LRU is a safety net, this is the policy.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use weir_ebpf::{
    address::Endpoint,
    pod::{AllowEntry, ticks},
};

use crate::{
    policy::HostName,
    system::clock::{instant_ns, nanoseconds},
};

/// How far an entry may be prolonged without a write: below this, an answer from the cache costs none.
const SLACK: Duration = Duration::from_millis(500);

/// An endpoint that is allowed because a name led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    /// The name.
    pub(super) name: Arc<HostName>,
    /// The address, as the answer gave it.
    pub(super) address: IpAddr,
    /// Number of the rule.
    pub(super) rule: u32,
    /// End of life.
    pub(super) expires: Instant,
}

impl Allowed {
    /// What the kernel is to hold of it.
    pub(super) fn for_kernel(&self) -> AllowEntry {
        self.at(instant_ns(self.expires))
    }

    /// As [`Self::for_kernel`], for many at once: `now` on both clocks.
    pub(super) fn for_kernel_at(&self, now: Instant, now_ns: u64) -> AllowEntry {
        let ahead = nanoseconds(self.expires.saturating_duration_since(now));
        let behind = nanoseconds(now.saturating_duration_since(self.expires));
        self.at(now_ns.saturating_add(ahead).saturating_sub(behind))
    }

    fn at(&self, end_ns: u64) -> AllowEntry {
        // Rounded up: an entry never ends before its answer.
        AllowEntry { expires: ticks(end_ns).saturating_add(1), rule: self.rule }
    }
}

/// All entries of a pod.
#[derive(Debug)]
pub(super) struct AllowTable {
    entries: HashMap<Endpoint, Allowed>,
    limit: usize,
}

/// The pod holds as many live entries as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl AllowTable {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), limit }
    }

    /// How many entries it may hold.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, endpoint: &Endpoint) -> Option<&Allowed> {
        self.entries.get(endpoint)
    }

    /// Whether the kernel already allows this for as long.
    pub(super) fn covers(&self, endpoint: &Endpoint, rule: u32, expires: Instant) -> bool {
        self.entries
            .get(endpoint)
            .is_some_and(|entry| entry.rule == rule && entry.expires + SLACK >= expires)
    }

    /// Makes room for `wanted` more entries and returns those that have to leave the kernel for it:
    /// the ones that expired first. A live entry never makes way.
    pub(super) fn make_room(&mut self, wanted: usize, now: Instant) -> Result<Vec<Endpoint>, Full> {
        let excess = (self.entries.len() + wanted).saturating_sub(self.limit);
        if excess == 0 {
            return Ok(Vec::new());
        }
        let mut expired: Vec<(Instant, Endpoint)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.expires <= now)
            .map(|(endpoint, entry)| (entry.expires, *endpoint))
            .collect();
        if expired.len() < excess {
            return Err(Full);
        }
        expired.sort_unstable_by_key(|(expires, _)| *expires);
        // A quarter at once, so that a full table is not searched for every answer.
        expired.truncate(excess.max(self.limit / 4));
        let leaving: Vec<Endpoint> = expired.into_iter().map(|(_, endpoint)| endpoint).collect();
        for endpoint in &leaving {
            self.entries.remove(endpoint);
        }
        Ok(leaving)
    }

    pub(super) fn insert(&mut self, endpoint: Endpoint, allowed: Allowed) {
        self.entries.insert(endpoint, allowed);
    }

    /// Removes the entries that `keep` does not vouch for, and returns their endpoints. `keep` may
    /// change the rule.
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&Endpoint, &mut Allowed) -> bool,
    ) -> Vec<Endpoint> {
        let mut removed = Vec::new();
        self.entries.retain(|endpoint, entry| {
            let kept = keep(endpoint, entry);
            if !kept {
                removed.push(*endpoint);
            }
            kept
        });
        removed
    }

    /// Whether any port of the address is allowed now.
    pub(super) fn knows_address(&self, address: IpAddr, now: Instant) -> bool {
        self.entries.values().any(|entry| entry.address == address && entry.expires > now)
    }
}

#[cfg(test)]
mod tests;
