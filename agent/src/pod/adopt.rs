//! Takes a pod over from an agent that is gone: from what its tables in the kernel hold, and its journal.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use weir_ebpf::pod::{AllowEntry, PodState};

use super::{EnforcedPod, apply::rule_of, journal::Story, lock, table::Allowed};
use crate::{datapath::slot::ip, system::clock::monotonic_ns};

impl EnforcedPod {
    /// Fills the pod's account of what it allows from its tables. Entries that no name explains any more stay
    /// only until the profile is next put into force, which revokes what it does not grant.
    pub fn adopt(&self, left: &PodState, story: &Story) {
        let profile = self.current_profile();
        self.skip_events();
        let mut state = lock(&self.state);
        state.generation = left.generation;
        for (generation, digest) in &story.profiles {
            if digest == profile.digest() {
                state.history.remember(*generation, Arc::clone(profile.provenance()));
            }
        }
        let mut unexplained = Vec::new();
        for (endpoint, entry) in self.slot.allowed() {
            let address = ip(endpoint.address);
            let names = story.names.get(&address).map_or(&[][..], Vec::as_slice);
            let explained = names.iter().rev().map(|name| Allowed {
                name: Arc::new(name.clone()),
                address,
                rule: entry.rule,
                expires: expiry(entry),
            });
            match explained
                .into_iter()
                .find(|allowed| rule_of(&profile, &endpoint, allowed).is_some())
            {
                Some(allowed) => state.table.insert(endpoint, allowed),
                None => unexplained.push(endpoint),
            }
        }
        if let Err(error) = self.slot.revoke(unexplained) {
            tracing::warn!(%error, "allow entries that no name explains could not be revoked");
        }
        drop(state);
        for kept in &story.refused {
            self.recorder.names().restore(kept, &profile);
        }
        let mut hosts = lock(&self.hosts);
        for (address, names) in &story.names {
            for name in names {
                hosts.learn(name, &[*address]);
            }
        }
    }
}

/// When an entry ends, as near as its unit tells.
fn expiry(entry: AllowEntry) -> Instant {
    let end = u64::from(entry.expires) << 28;
    let now = Instant::now();
    match end.checked_sub(monotonic_ns()) {
        Some(left) => now + Duration::from_nanos(left),
        None => now,
    }
}
