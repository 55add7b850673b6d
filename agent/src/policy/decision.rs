//! What a profile answers about a name.

use super::names::Hit;
use super::port::Port;
use super::profile::Rule;

/// A rule of one profile, in the order of the file; [`super::Profile::rule_id`] gives its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u16);

/// A wildcard pattern of one profile; [`super::Profile::wildcard`] gives its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WildcardIndex(pub u16);

/// What a profile says about a host name.
#[derive(Clone, Copy, Debug)]
pub enum NameDecision<'a> {
    /// At least one rule allows it, and `deny` does not name it.
    Allowed(Grants<'a>),
    /// `deny` names it, whatever the allow rules say.
    Denied {
        /// [`RuleIndex::DENY`].
        rule: RuleIndex,
    },
    /// No rule names it.
    NotListed,
}

/// What the rules grant on the addresses of a name: at least one [`Grant`], one for each rule.
#[derive(Clone, Copy, Debug)]
pub struct Grants<'a> {
    pub(super) hits: &'a [Hit],
    pub(super) rules: &'a [Rule],
}

/// What one rule grants on the addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// The rule.
    pub rule: RuleIndex,
    /// The ports it opens.
    pub ports: &'a [Port],
    /// Whether answers may be private addresses.
    pub private: bool,
    /// The wildcard that covers the name, if the rule does not name the host itself.
    pub wildcard: Option<WildcardIndex>,
}

impl RuleIndex {
    /// The profile's `deny` list.
    pub const DENY: Self = Self(u16::MAX - 1);
    /// No rule at all: what is not allowed is refused.
    pub const DEFAULT_DENY: Self = Self(u16::MAX);
    /// How records call [`Self::DENY`].
    pub const DENY_ID: &str = "deny";
    /// How records call [`Self::DEFAULT_DENY`].
    pub const DEFAULT_DENY_ID: &str = "default-deny";
}

impl<'a> Grants<'a> {
    /// One grant for each rule that covers the name.
    pub fn iter(self) -> impl Iterator<Item = Grant<'a>> {
        self.hits.iter().filter_map(move |hit| {
            let rule = self.rules.get(usize::from(hit.rule.0))?;
            Some(Grant {
                rule: hit.rule,
                ports: &rule.ports,
                private: rule.private,
                wildcard: hit.wildcard,
            })
        })
    }
}
