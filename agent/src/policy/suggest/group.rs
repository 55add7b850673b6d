//! Sorts what was seen into rules: destinations with the same ports together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::sample::Sample;
use super::wildcard::{self, Wildcard, Wildcards};
use super::{Destination, Evidence, Refused, Subject, Suggestion, allows};
use crate::policy::decision::NameDecision;
use crate::policy::host::HostName;
use crate::policy::limits;
use crate::policy::port::Port;
use crate::policy::profile::Profile;

/// Names that one suggestion holds; with their evidence they stay below the size of a file.
const NAMES: usize = 10_000;
/// Rules that one name stands in at most; wildcards and the rules of a profile that is merged into may cover it too.
const RULES_PER_NAME: usize = 16;
/// Rules that one wildcard stands in at most.
const RULES_PER_WILDCARD: usize = 4;

/// A rule to be written.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) ports: Vec<Port>,
    pub(super) entries: Vec<Entry>,
}

/// One name, wildcard or prefix of a rule.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) evidence: Evidence,
    /// What a wildcard was seen to cover, in words.
    pub(super) covers: Option<String>,
}

impl Entry {
    /// Something that the entry allows.
    pub(super) fn example(&self) -> Option<Subject> {
        if let Ok(net) = self.text.parse::<IpNet>() {
            return Some(Subject::Address(net.addr()));
        }
        HostName::parse(&self.text.replace('*', "any")).ok().map(Subject::Name)
    }
}

/// What a rule's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Host names, and whether they led to private addresses.
    Names {
        /// They did.
        private: bool,
    },
    /// Wildcards over one label.
    Wildcards,
    /// Addresses without a name.
    Addresses,
}

/// Why something that was seen is in no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// No profile can open it.
    HardBlock,
    /// Text that is no name in a profile.
    NoName,
    /// A protocol that no rule can name.
    Protocol,
    /// Packets that only audit mode lets pass, whatever a rule says.
    Unparsable,
    /// More ports than the rules of one destination can hold.
    Ports,
    /// The profile that is merged into denies the name.
    Denied,
    /// More names below a wildcard than the profile let a job ask for.
    Budget,
    /// More destinations than a profile can hold.
    Limit,
}

impl LeftOut {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::HardBlock => {
                "metadata services and DNS other than weir's, which no profile can open"
            }
            Self::NoName => "names that are not valid in a profile",
            Self::Protocol => "protocols and ports that no rule can name",
            Self::Unparsable => {
                "fragments and headers that cannot be parsed, which no rule lets pass"
            }
            Self::Ports => "ports beyond what the rules for one destination can hold",
            Self::Denied => "names that `deny` of this profile refuses, whatever a rule allows",
            Self::Budget => {
                "names beyond `dns.namesPerWildcard` of the profile that covered them; raise it if they are wanted"
            }
            Self::Limit => "destinations beyond what one profile can hold",
        }
    }
}

/// All that is in no rule, by its cause.
#[derive(Clone, Debug, Default)]
pub(super) struct Left(BTreeMap<LeftOut, Sample<50, 100_000>>);

impl Left {
    pub(super) fn add(&mut self, why: LeftOut, what: &str) {
        self.0.entry(why).or_default().add(what);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LeftOut, &Sample<50, 100_000>)> {
        self.0.iter().map(|(why, what)| (*why, what))
    }
}

/// What will be rules: the destinations of each kind that share their ports.
type Groups = BTreeMap<(Kind, Vec<Port>), Vec<Entry>>;

/// Everything that a suggestion comes down to.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) rules: Vec<Rule>,
    pub(super) left: Left,
    /// Asked for, answered, and not connected to.
    pub(super) asked: Vec<(&'a HostName, &'a Evidence)>,
    /// Refused, and allowed by no rule.
    pub(super) refused: Vec<(&'a Subject, Option<Port>, &'a Refused)>,
    /// The most names that were seen below one wildcard.
    pub(super) names_below: usize,
}

impl<'a> Plan<'a> {
    /// Plans what has to be allowed besides what `base` allows.
    pub(super) fn new(seen: &'a Suggestion, base: Option<&Profile>, wildcards: Wildcards) -> Self {
        let mut sorter = Sorter { base, left: seen.left.clone(), groups: Groups::new() };
        let (mut names, addresses) = sorter.missing(seen);
        let gathered = wildcard::gather(&mut names, &unwanted(seen), wildcards);
        let names_below = gathered.values().map(|wildcard| wildcard.names.count()).max();
        for (domain, wildcard) in &gathered {
            sorter.wildcard(domain, wildcard);
        }
        for (at, (name, destination)) in names.iter().enumerate() {
            if at >= NAMES {
                sorter.left.add(LeftOut::Limit, name.as_str());
                continue;
            }
            let kind = Kind::Names { private: destination.private };
            let most = limits::PORTS * RULES_PER_NAME;
            sorter.place(kind, name.as_str(), None, &destination.ports, most);
        }
        let room = limits::CIDRS.saturating_sub(base.map_or(0, |base| base.networks().len()));
        for (at, (address, destination)) in addresses.iter().enumerate() {
            let net = IpNet::from(*address).to_string();
            if at >= room {
                sorter.left.add(LeftOut::Limit, &net);
                continue;
            }
            let taken = base.and_then(|base| base.network_of(*address));
            let most = limits::PORTS.saturating_sub(taken.map_or(0, |network| network.ports.len()));
            sorter.place(Kind::Addresses, &net, None, &destination.ports, most);
        }
        let rules = sorter.rules();
        Self {
            rules,
            left: sorter.left,
            asked: seen.asked.iter().filter(|(name, _)| !is_settled(seen, base, name)).collect(),
            refused: refused(seen, base),
            names_below: names_below.unwrap_or(0),
        }
    }
}

/// Names that were refused, at one port or at all, and not reached there: no wildcard may take them in.
fn unwanted(seen: &Suggestion) -> BTreeSet<(HostName, Option<Port>)> {
    let keys = seen.refused.keys().filter(|(subject, port)| !was_reached(seen, subject, *port));
    keys.filter_map(|(subject, port)| match subject {
        Subject::Name(name) => Some((name.clone(), *port)),
        Subject::Address(_) => None,
    })
    .collect()
}

fn was_reached(seen: &Suggestion, subject: &Subject, port: Option<Port>) -> bool {
    let reached = seen.destinations.get(subject);
    reached.is_some_and(|reached| port.is_none_or(|port| reached.ports.contains_key(&port)))
}

/// Whether a name that was asked for was also reached, or is allowed.
fn is_settled(seen: &Suggestion, base: Option<&Profile>, name: &HostName) -> bool {
    let allowed = |base: &Profile| matches!(base.decide_name(name), NameDecision::Allowed(_));
    was_reached(seen, &Subject::Name(name.clone()), None) || base.is_some_and(allowed)
}

fn refused<'a>(
    seen: &'a Suggestion,
    base: Option<&Profile>,
) -> Vec<(&'a Subject, Option<Port>, &'a Refused)> {
    let is_allowed = |subject: &Subject, port: Option<Port>| match (subject, port) {
        (Subject::Name(name), None) => is_settled(seen, base, name),
        (_, Some(port)) => base.is_some_and(|base| allows(base, subject, port, false)),
        (Subject::Address(_), None) => false,
    };
    seen.refused
        .iter()
        .filter(|((subject, port), _)| {
            !was_reached(seen, subject, *port) && !is_allowed(subject, *port)
        })
        .map(|((subject, port), refused)| (subject, *port, refused))
        .collect()
}

/// Puts destinations into groups.
struct Sorter<'a> {
    base: Option<&'a Profile>,
    left: Left,
    groups: Groups,
}

type Missing = (BTreeMap<HostName, Destination>, BTreeMap<IpAddr, Destination>);

impl Sorter<'_> {
    /// What was seen less what is allowed already: names, addresses.
    fn missing(&mut self, seen: &Suggestion) -> Missing {
        let mut missing = Missing::default();
        for (subject, destination) in &seen.destinations {
            let mut destination = destination.clone();
            if let Some(base) = self.base {
                if let Subject::Name(name) = subject
                    && matches!(base.decide_name(name), NameDecision::Denied { .. })
                {
                    self.left.add(LeftOut::Denied, name.as_str());
                    continue;
                }
                let private = destination.private;
                destination.ports.retain(|port, _| !allows(base, subject, *port, private));
            }
            if destination.ports.is_empty() {
                continue;
            }
            match subject {
                Subject::Name(name) => drop(missing.0.insert(name.clone(), destination)),
                Subject::Address(address) => drop(missing.1.insert(*address, destination)),
            }
        }
        missing
    }

    fn wildcard(&mut self, domain: &HostName, wildcard: &Wildcard) {
        let names = &wildcard.names;
        let covers =
            format!("{} names were seen below it: {}", names.describe_count(), names.list());
        let most = limits::PORTS * RULES_PER_WILDCARD;
        self.place(Kind::Wildcards, &format!("*.{domain}"), Some(&covers), &wildcard.ports, most);
    }

    /// Puts an entry into the groups of its ports.
    fn place(
        &mut self,
        kind: Kind,
        text: &str,
        covers: Option<&str>,
        ports: &BTreeMap<Port, Evidence>,
        most: usize,
    ) {
        for port in ports.keys().skip(most) {
            self.left.add(LeftOut::Ports, &format!("{text} {port}"));
        }
        let kept: Vec<(&Port, &Evidence)> = ports.iter().take(most).collect();
        for part in kept.chunks(limits::PORTS) {
            let ports = part.iter().map(|(port, _)| **port).collect();
            let evidence = Evidence::sum(part.iter().map(|(_, evidence)| *evidence));
            let Some(evidence) = evidence else { continue };
            let (text, covers) = (text.to_owned(), covers.map(str::to_owned));
            let entry = Entry { text, evidence, covers };
            self.groups.entry((kind, ports)).or_default().push(entry);
        }
    }

    /// The groups as rules with ids that nobody has.
    fn rules(&mut self) -> Vec<Rule> {
        let base = self.base.map(Profile::rule_ids).unwrap_or_default();
        let mut ids: BTreeSet<String> = base.iter().cloned().collect();
        let room = limits::RULES.saturating_sub(base.len());
        let mut rules = Vec::new();
        for ((kind, ports), entries) in std::mem::take(&mut self.groups) {
            if rules.len() < room {
                let id = unique_id(kind, &ports, &mut ids);
                rules.push(Rule { id, kind, ports, entries });
            } else {
                for entry in entries {
                    self.left.add(LeftOut::Limit, &entry.text);
                }
            }
        }
        rules
    }
}

/// `names-443-tcp` and the like, numbered where that is taken.
fn unique_id(kind: Kind, ports: &[Port], taken: &mut BTreeSet<String>) -> String {
    const LONGEST: usize = 48;
    let prefix = match kind {
        Kind::Names { private: false } => "names",
        Kind::Names { private: true } => "private-names",
        Kind::Wildcards => "wildcards",
        Kind::Addresses => "addresses",
    };
    let mut id = prefix.to_owned();
    for port in ports {
        let next = format!("-{}", port.to_string().replace('/', "-"));
        if id.len() + next.len() > LONGEST {
            id.push_str("-and-more");
            break;
        }
        id.push_str(&next);
    }
    let mut numbered = id.clone();
    let mut number = 2;
    while !taken.insert(numbered.clone()) {
        numbered = format!("{id}-{number}");
        number += 1;
    }
    numbered
}
