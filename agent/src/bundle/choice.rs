//! Who gets which profile.
//!
//! Of all profiles that select a pod, the one whose narrowest condition names the most special thing is taken: a project
//! before a group, a group before labels, labels before a namespace. Among equals one without wildcards comes before one
//! with, then the one that has more of the path written out, then the one with more conditions, then the configuration's
//! `policy.namespaces`, then the first in the order of names. Nobody's pods get the default.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use super::Bundle;
use crate::events::record::Scope;
use crate::identity::Traits;
use crate::policy::{Level, Mismatch, Profile, Rank, Selector};

/// A profile for a pod, and what chose it.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The profile.
    pub profile: Arc<Profile>,
    /// How it was chosen.
    pub scope: Scope,
}

/// Who gets a profile.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) profile: Arc<Profile>,
    pub(super) by: By,
}

/// What says who gets it.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// `policy.namespaces` of the agent's configuration.
    Configuration(String),
    /// The profile itself.
    Selector(Selector),
}

/// A candidate held against a pod.
#[derive(Clone, Debug)]
pub struct Weighed<'b> {
    candidate: &'b Candidate,
    result: Result<Rank, Mismatch>,
}

impl Candidate {
    fn judge(&self, traits: &Traits) -> Result<Rank, Mismatch> {
        match &self.by {
            By::Configuration(namespace) => Rank::of_namespace(namespace, traits),
            By::Selector(selector) => selector.judge(traits),
        }
    }
}

impl Bundle {
    /// The profile of a pod.
    #[must_use]
    pub fn choose(&self, traits: &Traits) -> Choice {
        let ranked = self
            .candidates
            .iter()
            .filter_map(|candidate| candidate.judge(traits).ok().map(|rank| (rank, candidate)));
        // Of equals the first: they are in the order of the rule.
        let best = ranked.reduce(|best, next| if next.0 > best.0 { next } else { best });
        match best {
            Some((rank, candidate)) => {
                Choice { profile: Arc::clone(&candidate.profile), scope: scope(rank.level) }
            }
            None => Choice { profile: Arc::clone(&self.default), scope: Scope::Default },
        }
    }

    /// Every profile that is for some pods, held against this one: those that match from the narrowest on, then the
    /// others.
    #[must_use]
    pub fn weigh(&self, traits: &Traits) -> Vec<Weighed<'_>> {
        let mut weighed: Vec<_> = self
            .candidates
            .iter()
            .map(|candidate| Weighed { candidate, result: candidate.judge(traits) })
            .collect();
        weighed.sort_by_key(|weighed| Reverse(weighed.result.as_ref().ok().copied()));
        weighed
    }
}

const fn scope(level: Level) -> Scope {
    match level {
        Level::Project => Scope::Project,
        Level::Group => Scope::Group,
        Level::Labels => Scope::Labels,
        Level::Namespace => Scope::Namespace,
    }
}

impl Weighed<'_> {
    /// The name of the profile.
    #[must_use]
    pub fn profile(&self) -> &str {
        self.candidate.profile.name()
    }

    /// How narrow it is for the pod, or why it is not for it.
    ///
    /// # Errors
    ///
    /// The first condition that does not hold.
    pub fn result(&self) -> Result<Rank, &Mismatch> {
        self.result.as_ref().copied()
    }

    /// Whom it selects.
    #[must_use]
    pub fn selects(&self) -> &dyn fmt::Display {
        &self.candidate.by
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(namespace) => {
                write!(f, "`policy.namespaces.{namespace}` of the agent's configuration")
            }
            Self::Selector(selector) => selector.fmt(f),
        }
    }
}
