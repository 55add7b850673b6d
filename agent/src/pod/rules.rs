//! Numbers for rules, which the kernel keeps beside what they allowed and hands back with the flows.
//!
//! An index alone means nothing once its profile was replaced: a flow is named by the profile under which
//! it was first seen.

use std::{collections::HashMap, sync::Arc};

use crate::policy::{Provenance, RuleIndex};

/// The number of a rule: the low half of the policy generation, and the index in that profile.
pub(super) const fn number(generation: u32, rule: RuleIndex) -> u32 {
    (generation << 16) | rule.0 as u32
}

/// Where the profiles that were in force came from, by the half of their generation that the numbers carry.
#[derive(Debug, Default)]
pub(super) struct ProfileHistory(HashMap<u16, Arc<Provenance>>);

impl ProfileHistory {
    /// Remembers the profile of a generation, in the place of the one 65,536 generations ago.
    pub(super) fn remember(&mut self, generation: u32, provenance: Arc<Provenance>) {
        self.0.insert(half(generation), provenance);
    }

    /// The profile and the index behind a number.
    pub(super) fn find(&self, number: u32) -> Option<(Arc<Provenance>, RuleIndex)> {
        let provenance = self.0.get(&half(number >> 16))?;
        Some((Arc::clone(provenance), RuleIndex(half(number))))
    }
}

const fn half(word: u32) -> u16 {
    let [low, high, ..] = word.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests;
