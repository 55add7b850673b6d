//! Finds the rules that a host name meets: a few hash lookups, however many names a profile holds.
//!
//! The most specific pattern answers for all: when the table is built, each pattern's list of rules
//! takes in the rules of every wider pattern that covers it. So a lookup stops at the first hit
//! (the name itself, then `*.` over its parent, then `**.` over each ancestor from the nearest up)
//! and returns one slice without allocating. A bit per label count skips ancestors that no `**`
//! pattern could name, which bounds the work on names of 127 labels.
//!
//! Invariant: a list holds each rule once; its wildcard is `None` if the rule names the host itself.

use std::collections::HashMap;

use map::NameMap;

use super::host::HostName;
use super::pattern::{DomainPattern, Scope};
use super::{RuleIndex, WildcardIndex};

mod map;
#[cfg(test)]
mod tests;

/// One rule that a pattern leads to, and the wildcard that led there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hit {
    pub(super) rule: RuleIndex,
    pub(super) wildcard: Option<WildcardIndex>,
}

/// Position of a list in [`NameTable::lists`].
type ListIndex = u32;

/// All name patterns of a profile's allow rules, or of its deny list.
#[derive(Clone, Debug, Default)]
pub(super) struct NameTable {
    exact: NameMap,
    /// `*.KEY`
    one_label: NameMap,
    /// `**.KEY`
    any_labels: NameMap,
    /// Bit n: some key of `any_labels` has n labels (at most 127 fit into a name).
    any_labels_depths: u128,
    lists: Vec<Box<[Hit]>>,
    wildcards: Vec<DomainPattern>,
}

impl NameTable {
    /// Every rule that a name meets; `None` if no pattern covers it.
    pub(super) fn find(&self, name: &HostName) -> Option<&[Hit]> {
        self.list(self.find_list(name.as_str())?)
    }

    pub(super) fn wildcard(&self, index: WildcardIndex) -> Option<&DomainPattern> {
        self.wildcards.get(usize::from(index.0))
    }

    pub(super) fn exact_len(&self) -> usize {
        self.exact.len()
    }

    pub(super) fn wildcard_len(&self) -> usize {
        self.wildcards.len()
    }

    fn list(&self, index: ListIndex) -> Option<&[Hit]> {
        self.lists.get(usize::try_from(index).ok()?).map(AsRef::as_ref)
    }

    fn find_list(&self, name: &str) -> Option<ListIndex> {
        self.exact.get(name).or_else(|| self.find_wildcard(name))
    }

    /// The list of the narrowest wildcard that covers `name`.
    fn find_wildcard(&self, name: &str) -> Option<ListIndex> {
        let (_, parent) = name.split_once('.')?;
        self.one_label.get(parent).or_else(|| self.find_any_labels(parent))
    }

    /// The list of the narrowest `**` pattern over `suffix` or an ancestor of it.
    fn find_any_labels(&self, suffix: &str) -> Option<ListIndex> {
        if self.any_labels_depths == 0 {
            return None;
        }
        let mut rest = suffix;
        for depth in (1..=label_count(suffix)).rev() {
            if self.any_labels_depths & depth_bit(depth) != 0
                && let Some(list) = self.any_labels.get(rest)
            {
                return Some(list);
            }
            rest = rest.split_once('.')?.1;
        }
        None
    }
}

fn label_count(name: &str) -> u32 {
    name.bytes().fold(1, |count, byte| count + u32::from(byte == b'.'))
}

fn depth_bit(depth: u32) -> u128 {
    1u128.checked_shl(depth).unwrap_or(0)
}

/// More rules cover one name than [`super::limits::RULES_PER_NAME`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyRules {
    pub(super) pattern: DomainPattern,
    pub(super) count: usize,
}

/// Collects patterns; [`NameTableBuilder::build`] makes the table.
#[derive(Debug, Default)]
pub(super) struct NameTableBuilder {
    exact: HashMap<Box<str>, Vec<Hit>>,
    one_label: HashMap<Box<str>, Vec<Hit>>,
    any_labels: HashMap<Box<str>, Vec<Hit>>,
    wildcards: Vec<DomainPattern>,
    wildcard_indices: HashMap<DomainPattern, WildcardIndex>,
}

impl NameTableBuilder {
    /// Adds a pattern of a rule. The caller keeps to [`super::limits::WILDCARDS`].
    pub(super) fn add(&mut self, pattern: &DomainPattern, rule: RuleIndex) {
        let wildcard = match pattern.scope {
            Scope::Exact => None,
            Scope::OneLabel | Scope::AnyLabels => Some(self.wildcard_index(pattern)),
        };
        let map = match pattern.scope {
            Scope::Exact => &mut self.exact,
            Scope::OneLabel => &mut self.one_label,
            Scope::AnyLabels => &mut self.any_labels,
        };
        let hits = map.entry(pattern.name.as_str().into()).or_default();
        if hits.iter().all(|hit| hit.rule != rule) {
            hits.push(Hit { rule, wildcard });
        }
    }

    fn wildcard_index(&mut self, pattern: &DomainPattern) -> WildcardIndex {
        if let Some(index) = self.wildcard_indices.get(pattern) {
            return *index;
        }
        // Past the last index patterns share it, and with it one budget of names: never too lax.
        let index = WildcardIndex(u16::try_from(self.wildcards.len()).unwrap_or(u16::MAX));
        self.wildcards.push(pattern.clone());
        self.wildcard_indices.insert(pattern.clone(), index);
        index
    }

    /// Makes the table, widest patterns first, so that each list can take in the wider one's.
    pub(super) fn build(self) -> Result<NameTable, TooManyRules> {
        let mut table = NameTable { wildcards: self.wildcards, ..NameTable::default() };
        let mut lists = ListPool::default();

        let mut any_labels: Vec<_> = self.any_labels.into_iter().collect();
        any_labels.sort_by_key(|(name, _)| label_count(name));
        table.any_labels = NameMap::for_names(any_labels.iter().map(|(name, _)| name.as_ref()));
        for (name, own) in any_labels {
            let wider = name.split_once('.').and_then(|(_, rest)| table.find_any_labels(rest));
            let list = lists.merge(Scope::AnyLabels, &name, own, wider)?;
            table.any_labels_depths |= depth_bit(label_count(&name));
            table.any_labels.insert(&name, list);
        }
        table.one_label = NameMap::for_names(self.one_label.keys().map(AsRef::as_ref));
        for (name, own) in self.one_label {
            let wider = table.find_any_labels(&name);
            let list = lists.merge(Scope::OneLabel, &name, own, wider)?;
            table.one_label.insert(&name, list);
        }
        table.exact = NameMap::for_names(self.exact.keys().map(AsRef::as_ref));
        for (name, own) in self.exact {
            let wider = table.find_wildcard(&name);
            let list = lists.merge(Scope::Exact, &name, own, wider)?;
            table.exact.insert(&name, list);
        }
        table.lists = lists.lists;
        Ok(table)
    }
}

/// Keeps each distinct list once: a rule of a hundred thousand names needs one.
#[derive(Debug, Default)]
struct ListPool {
    lists: Vec<Box<[Hit]>>,
    known: HashMap<Box<[Hit]>, ListIndex>,
}

impl ListPool {
    fn merge(
        &mut self,
        scope: Scope,
        name: &str,
        mut hits: Vec<Hit>,
        wider: Option<ListIndex>,
    ) -> Result<ListIndex, TooManyRules> {
        let wider = wider.and_then(|index| self.lists.get(usize::try_from(index).ok()?));
        for hit in wider.into_iter().flatten() {
            if hits.iter().all(|own| own.rule != hit.rule) {
                hits.push(*hit);
            }
        }
        let count = hits.len();
        let too_many = || TooManyRules {
            pattern: DomainPattern { scope, name: HostName::from_canonical(name) },
            count,
        };
        if count > super::limits::RULES_PER_NAME {
            return Err(too_many());
        }
        let hits = hits.into_boxed_slice();
        if let Some(index) = self.known.get(&hits) {
            return Ok(*index);
        }
        let index = ListIndex::try_from(self.lists.len()).map_err(|_overflow| too_many())?;
        self.lists.push(hits.clone());
        self.known.insert(hits, index);
        Ok(index)
    }
}
