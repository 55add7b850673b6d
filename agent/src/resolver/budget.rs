//! The budget of distinct names below each wildcard.
//!
//! A wildcard whose zone an attacker shares is a way out: each label asked upstream carries data.
//! What leaves is bounded by the number of different names that a pod may ask below it. A question
//! counts when it is decided, whether or not an answer is cached, because the name is what leaks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::policy::{Grants, HostName, Profile, RuleIndex, WildcardIndex};

#[cfg(test)]
mod tests;

/// Names counted for one pod. Starts anew when the policy changes, because a wildcard's number
/// means nothing outside its profile.
#[derive(Debug, Default)]
pub(super) struct Budget {
    profile: Option<Arc<Profile>>,
    names: HashMap<WildcardIndex, HashSet<Box<str>>>,
}

impl Budget {
    /// Counts `name` below every wildcard that grants it.
    ///
    /// A name that a rule also lists by itself costs nothing. Over the limit of any wildcard nothing
    /// is counted, and the error is the rule whose wildcard is used up.
    pub(super) fn charge(
        &mut self,
        profile: &Arc<Profile>,
        name: &HostName,
        grants: &Grants<'_>,
    ) -> Result<(), RuleIndex> {
        if grants.iter().any(|grant| grant.wildcard.is_none()) {
            return Ok(());
        }
        if !self.profile.as_ref().is_some_and(|known| known.is_same(profile)) {
            self.names.clear();
            self.profile = Some(Arc::clone(profile));
        }
        let limit = usize::try_from(profile.dns().names_per_wildcard).unwrap_or(usize::MAX);
        let new = |names: &HashMap<WildcardIndex, HashSet<Box<str>>>, wildcard| {
            names.get(&wildcard).is_none_or(|names| !names.contains(name.as_str()))
        };
        for grant in grants.iter() {
            let Some(wildcard) = grant.wildcard else { continue };
            let used = self.names.get(&wildcard).map_or(0, HashSet::len);
            if used >= limit && new(&self.names, wildcard) {
                return Err(grant.rule);
            }
        }
        for wildcard in grants.iter().filter_map(|grant| grant.wildcard) {
            if new(&self.names, wildcard) {
                self.names.entry(wildcard).or_default().insert(name.as_str().into());
            }
        }
        Ok(())
    }
}
