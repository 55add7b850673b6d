//! Sorts observations into rules: destinations with the same ports together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{AskedName, Evidence, Observation};
use crate::policy::hard_block::HardBlock;
use crate::policy::host::HostName;
use crate::policy::limits;
use crate::policy::port::Port;
use crate::resolver::guard::{Exposure, exposure};

/// Names that one suggestion holds; with their evidence they stay below the size of a file.
const NAMES: usize = 10_000;

/// A rule to be written.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// None where nothing is known of ports.
    pub(super) ports: Vec<Port>,
    /// Names or prefixes.
    pub(super) entries: Vec<(String, Evidence)>,
}

/// What a rule's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Host names, and whether they led to private addresses.
    Names {
        /// They did.
        private: bool,
    },
    /// Addresses without a name.
    Addresses,
}

/// Why a destination is in no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// No profile can open it.
    HardBlock,
    /// A name from the wire that profiles cannot hold.
    NoName,
    /// More ports than the rules of one destination can hold.
    Ports,
    /// More destinations than a profile can hold.
    Limit,
}

impl Left {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::HardBlock => {
                "metadata services and DNS other than weir's, which no profile can open"
            }
            Self::NoName => "names that are not valid in a profile",
            Self::Ports => "ports beyond what the rules for one destination can hold",
            Self::Limit => "destinations beyond what one profile can hold",
        }
    }
}

/// A name or address and all that was seen of it.
#[derive(Debug)]
struct Destination {
    ports: BTreeSet<Port>,
    private: bool,
    evidence: Evidence,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Name(HostName),
    Address(IpAddr),
}

/// What will be rules: the destinations of each kind that share their ports.
type Groups = BTreeMap<(Kind, Vec<Port>), Vec<(String, Evidence)>>;

/// The rules, and what is in none of them.
pub(super) fn group(
    observed: &[Observation],
    asked: &[AskedName],
) -> (Vec<Rule>, BTreeMap<Left, BTreeSet<String>>) {
    let mut left: BTreeMap<Left, BTreeSet<String>> = BTreeMap::new();
    let mut leave = |cause, destination: String| {
        left.entry(cause).or_default().insert(destination);
    };
    let mut groups = Groups::new();
    let mut names = 0;
    let mut addresses = 0;
    let mut destinations = collect(observed, &mut leave);
    add_asked(&mut destinations, asked, &mut leave);
    for (subject, destination) in destinations {
        let (kind, entry, most_ports, room) = match &subject {
            Subject::Name(name) => {
                names += 1;
                let kind = Kind::Names { private: destination.private };
                let most = limits::PORTS * limits::RULES_PER_NAME;
                (kind, name.to_string(), most, names <= NAMES)
            }
            Subject::Address(address) => {
                addresses += 1;
                let net = IpNet::from(*address).to_string();
                (Kind::Addresses, net, limits::PORTS, addresses <= limits::CIDRS)
            }
        };
        if !room {
            leave(Left::Limit, entry);
            continue;
        }
        let ports: Vec<_> = destination.ports.into_iter().collect();
        for port in ports.iter().skip(most_ports) {
            leave(Left::Ports, format!("{entry} {port}"));
        }
        let kept = ports.get(..most_ports).unwrap_or(&ports);
        let chunks = kept.chunks(limits::PORTS).map(<[Port]>::to_vec);
        // One rule also where no port is known.
        let none = kept.is_empty().then(Vec::new);
        for part in chunks.chain(none) {
            let members = groups.entry((kind, part)).or_default();
            members.push((entry.clone(), destination.evidence.clone()));
        }
    }
    let mut ids = BTreeSet::new();
    let mut rules = Vec::new();
    for ((kind, ports), entries) in groups {
        if rules.len() < limits::RULES {
            let id = unique_id(kind, &ports, &mut ids);
            rules.push(Rule { id, kind, ports, entries });
        } else {
            for (entry, _) in entries {
                leave(Left::Limit, entry);
            }
        }
    }
    (rules, left)
}

/// One destination for each name, and for each address without one.
fn collect(
    observed: &[Observation],
    leave: &mut impl FnMut(Left, String),
) -> BTreeMap<Subject, Destination> {
    let mut destinations: BTreeMap<Subject, Destination> = BTreeMap::new();
    for observation in observed {
        let address = observation.address.to_canonical();
        if address.is_loopback() {
            continue;
        }
        let subject = match &observation.host {
            Some(name) => Subject::Name(name.clone()),
            None => Subject::Address(address),
        };
        if HardBlock::of(address, observation.port).is_some() {
            let host =
                observation.host.as_ref().map_or_else(|| address.to_string(), HostName::to_string);
            leave(Left::HardBlock, format!("{host} {}", observation.port));
            continue;
        }
        if let Subject::Name(name) = &subject
            && !is_writable(name)
        {
            leave(Left::NoName, name.to_string());
            continue;
        }
        // The guard's own view: without `private` the resolver would refuse this answer.
        let private = exposure(address) == Exposure::Private;
        destinations
            .entry(subject)
            .and_modify(|known| {
                known.ports.insert(observation.port);
                known.private |= private;
                known.evidence.add(Evidence::of(observation));
            })
            .or_insert_with(|| Destination {
                ports: BTreeSet::from([observation.port]),
                private,
                evidence: Evidence::of(observation),
            });
    }
    destinations
}

/// Adds the names that were asked for and led nowhere.
fn add_asked(
    destinations: &mut BTreeMap<Subject, Destination>,
    asked: &[AskedName],
    leave: &mut impl FnMut(Left, String),
) {
    for one in asked {
        if !is_writable(&one.name) {
            leave(Left::NoName, one.name.to_string());
            continue;
        }
        let evidence = Evidence::of_asked(one);
        destinations
            .entry(Subject::Name(one.name.clone()))
            .and_modify(|known| {
                known.private |= one.private;
                known.evidence.add(evidence.clone());
            })
            .or_insert(Destination { ports: BTreeSet::new(), private: one.private, evidence });
    }
}

/// Whether a profile can hold the name.
fn is_writable(name: &HostName) -> bool {
    HostName::parse(name.as_str()).as_ref() == Ok(name)
}

/// `names-443-tcp` and the like, numbered where that is taken.
fn unique_id(kind: Kind, ports: &[Port], taken: &mut BTreeSet<String>) -> String {
    const LONGEST: usize = 48;
    let prefix = match kind {
        Kind::Names { private: false } => "names",
        Kind::Names { private: true } => "private-names",
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
