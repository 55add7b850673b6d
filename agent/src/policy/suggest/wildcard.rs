//! Many names below one domain become one wildcard, where that is honest.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    num::NonZeroUsize,
};

use super::{
    Destination,
    evidence::Evidence,
    sample::Sample,
    shared::{has_one_owner, is_suffix},
};
use crate::policy::{host::HostName, port::Port};

/// From how many names on a wildcard stands for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcards {
    /// Names stay names, however many there are.
    Never,
    /// From so many names directly below one domain, reached at the same port.
    From(NonZeroUsize),
}

impl Default for Wildcards {
    /// Ten: more names than people give to the services of one domain that a job uses, and few where names are made by
    /// a program (shards, regions, buckets, builds).
    fn default() -> Self {
        const TEN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9);
        Self::From(TEN)
    }
}

/// A wildcard over one label, and what speaks for it.
#[derive(Debug)]
pub(super) struct Wildcard {
    pub(super) ports: BTreeMap<Port, Evidence>,
    /// The names that were seen.
    pub(super) names: Sample<8, 20_000>,
}

/// Takes out of `names` what wildcards cover better, and returns these by the domain that they stand over.
///
/// `*.domain` comes to be for a port where enough names directly below the domain were reached at that port, the domain
/// has one owner ([`has_one_owner`]), none of the names led to private addresses, and no name directly below it is
/// unwanted, at that port or at all.
pub(super) fn gather(
    names: &mut BTreeMap<HostName, Destination>,
    unwanted: &BTreeSet<(HostName, Option<Port>)>,
    wildcards: Wildcards,
) -> BTreeMap<HostName, Wildcard> {
    let Wildcards::From(least) = wildcards else { return BTreeMap::new() };
    let mut below: BTreeMap<HostName, BTreeMap<Port, Vec<HostName>>> = BTreeMap::new();
    for (name, destination) in names.iter().filter(|(_, destination)| !destination.private) {
        let Some(domain) = parent(name) else { continue };
        let ports = below.entry(domain).or_default();
        for port in destination.ports.keys() {
            ports.entry(*port).or_default().push(name.clone());
        }
    }
    let closed: BTreeSet<(HostName, Option<Port>)> =
        unwanted.iter().filter_map(|(name, port)| Some((parent(name)?, *port))).collect();
    let mut gathered = BTreeMap::new();
    for (domain, mut ports) in below {
        let is_closed = |port: Option<Port>| closed.contains(&(domain.clone(), port));
        ports.retain(|port, members| members.len() >= least.get() && !is_closed(Some(*port)));
        let is_honest =
            has_one_owner(&domain) && !is_closed(None) && !ports.values().flatten().any(is_suffix);
        if is_honest && !ports.is_empty() {
            gathered.insert(domain, wildcard(&ports, names));
        }
    }
    names.retain(|_, destination| !destination.ports.is_empty());
    gathered
}

/// The wildcard for these ports and the names that were reached at each, which no longer need them.
fn wildcard(
    members: &BTreeMap<Port, Vec<HostName>>,
    names: &mut BTreeMap<HostName, Destination>,
) -> Wildcard {
    let mut wildcard = Wildcard { ports: BTreeMap::new(), names: Sample::default() };
    for (port, members) in members {
        for name in members {
            let ports = names.get_mut(name).map(|destination| &mut destination.ports);
            let Some(evidence) = ports.and_then(|ports| ports.remove(port)) else { continue };
            wildcard.names.add(name.as_str());
            match wildcard.ports.entry(*port) {
                Entry::Occupied(mut known) => known.get_mut().merge(&evidence),
                Entry::Vacant(free) => drop(free.insert(evidence)),
            }
        }
    }
    wildcard
}

fn parent(name: &HostName) -> Option<HostName> {
    let (_, parent) = name.as_str().split_once('.')?;
    Some(HostName::from_canonical(parent))
}

#[cfg(test)]
mod tests;
