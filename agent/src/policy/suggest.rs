//! Writes a profile that allows what was seen, and nothing else, for a person to review.
//!
//! Names stay names, unless so many were seen directly below one owner's domain that a wildcard is the honest rule
//! (`wildcard`, `shared`). Addresses that no name led to stand in rules of their own with a warning. Every entry carries
//! its evidence as a comment. What was refused is never allowed silently: it is listed below the rules, with what was
//! asked for and not used, and what no profile can allow.
//!
//! Invariant: the text is a valid profile, whatever the observations hold; text of the job is escaped to printable ASCII.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::hard_block::HardBlock;
use super::host::HostName;
use super::port::Port;
use super::profile::Profile;
use super::resolve::is_profile_name;
use crate::resolver::guard::{Exposure, exposure};
use crate::yaml::Style;

mod evidence;
mod group;
mod merge;
mod render;
mod sample;
mod select;
mod shared;
#[cfg(test)]
mod tests;
mod wildcard;

use evidence::Evidence;
use group::{Left, Plan};

pub use evidence::Seen;
pub use group::LeftOut;
pub use merge::{Base, MergeError, Merged};
pub(crate) use sample::printable;
pub use select::{ProjectPath, Selector};
pub use wildcard::Wildcards;

/// Distinct destinations, ports told apart, that one suggestion takes in; far more than one profile holds.
const DESTINATIONS: usize = 50_000;

/// Where something went that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The name that led to the address, if one did.
    pub host: Option<HostName>,
    /// The address.
    pub address: IpAddr,
    /// The protocol and port.
    pub port: Port,
    /// How often, when and by whom.
    pub seen: Seen,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Name(HostName),
    Address(IpAddr),
}

/// A name or address and all that was seen of it.
#[derive(Clone, Debug, Default)]
struct Destination {
    ports: BTreeMap<Port, Evidence>,
    private: bool,
}

/// What was refused, and why.
#[derive(Clone, Debug)]
struct Refused {
    reasons: BTreeSet<&'static str>,
    evidence: Evidence,
}

/// Takes in what was seen and writes the profile for it. Memory is bounded by distinct destinations.
#[derive(Clone, Debug, Default)]
pub struct Suggestion {
    destinations: BTreeMap<Subject, Destination>,
    asked: BTreeMap<HostName, Evidence>,
    /// By destination, and the port where there was a connection.
    refused: BTreeMap<(Subject, Option<Port>), Refused>,
    left: Left,
    /// How many pieces of evidence there are in all of these.
    held: usize,
}

/// What a written profile is to say besides its rules.
#[derive(Clone, Debug, Default)]
pub struct Heading {
    /// `metadata.name`; `suggested` where this is no profile name.
    pub name: String,
    /// Who is to get the profile.
    pub selector: Option<Selector>,
    /// Lines above the profile, as comments.
    pub notes: Vec<String>,
}

impl Suggestion {
    /// Takes in something that passed.
    pub fn reached(&mut self, observation: &Observation) {
        let address = observation.address.to_canonical();
        if address.is_loopback() {
            return;
        }
        let host = observation.host.as_ref();
        if !can_be_written(observation.port) {
            self.leave_out(LeftOut::Protocol, &format!("{address} {}", observation.port));
            return;
        }
        if HardBlock::of(address, observation.port).is_some() {
            let host = host.map_or_else(|| address.to_string(), HostName::to_string);
            self.leave_out(LeftOut::HardBlock, &format!("{host} {}", observation.port));
            return;
        }
        let subject = match host {
            // From the wire come names that cannot be written down.
            Some(name) if HostName::parse(name.as_str()).as_ref() != Ok(name) => {
                self.leave_out(LeftOut::NoName, name.as_str());
                return;
            }
            Some(name) => Subject::Name(name.clone()),
            None => Subject::Address(address),
        };
        let port = observation.port;
        let known = self.destinations.get_mut(&subject);
        if let Some(evidence) = known.and_then(|known| known.ports.get_mut(&port)) {
            evidence.add(&observation.seen);
        } else if !self.has_room(&subject) {
            return;
        } else {
            let evidence = Evidence::of(&observation.seen);
            let destination = self.destinations.entry(subject.clone());
            destination.or_default().ports.insert(port, evidence);
        }
        // The guard's own view: without `private` the resolver would refuse this answer.
        if exposure(address) == Exposure::Private
            && let Some(destination) = self.destinations.get_mut(&subject)
        {
            destination.private = true;
        }
    }

    /// Takes in a question that was answered though no rule allows the name. Where something then went there, that is
    /// told by [`Self::reached`].
    pub fn asked(&mut self, name: &str, seen: &Seen) {
        let Ok(host) = HostName::parse(name) else {
            self.leave_out(LeftOut::NoName, name);
            return;
        };
        if let Some(known) = self.asked.get_mut(&host) {
            known.add(seen);
        } else if self.has_room(&host) {
            self.asked.insert(host, Evidence::of(seen));
        }
    }

    /// Takes in a question for a name that was refused and is wanted all the same: for HTTPS, as far as nothing else is
    /// known. `private` says that it was refused for its private address.
    pub fn wanted(&mut self, name: &HostName, private: bool, seen: &Seen) {
        if HostName::parse(name.as_str()).as_ref() != Ok(name) {
            self.leave_out(LeftOut::NoName, name.as_str());
            return;
        }
        let subject = Subject::Name(name.clone());
        if let Some(known) = self.destinations.get_mut(&subject) {
            known.private |= private;
            return;
        }
        if self.has_room(&subject) {
            let ports = BTreeMap::from([(Port::HTTPS, Evidence::of_questions(seen))]);
            self.destinations.insert(subject, Destination { ports, private });
        }
    }

    /// Takes in a question for a name that was refused.
    pub fn refused_name(&mut self, name: &str, reason: &'static str, seen: &Seen) {
        match HostName::parse(name) {
            Ok(host) => self.refuse(Subject::Name(host), None, reason, seen),
            Err(_) => self.leave_out(LeftOut::NoName, name),
        }
    }

    /// Takes in a connection that was refused.
    pub fn refused(&mut self, observation: &Observation, reason: &'static str) {
        let address = observation.address.to_canonical();
        if HardBlock::of(address, observation.port).is_some() {
            self.leave_out(LeftOut::HardBlock, &format!("{address} {}", observation.port));
            return;
        }
        let subject = observation.host.clone().map_or(Subject::Address(address), Subject::Name);
        self.refuse(subject, Some(observation.port), reason, &observation.seen);
    }

    fn refuse(&mut self, subject: Subject, port: Option<Port>, reason: &'static str, seen: &Seen) {
        let key = (subject, port);
        if let Some(known) = self.refused.get_mut(&key) {
            known.reasons.insert(reason);
            known.evidence.add(seen);
        } else if self.has_room(&key.0) {
            let (reasons, evidence) = (BTreeSet::from([reason]), Evidence::of(seen));
            self.refused.insert(key, Refused { reasons, evidence });
        }
    }

    /// Notes that something is in no rule, and why.
    pub fn leave_out(&mut self, why: LeftOut, what: &str) {
        self.left.add(why, what);
    }

    /// Whether there is room for one more piece of evidence, which is then taken; else what it is for is left out.
    fn has_room(&mut self, of: &impl ToString) -> bool {
        let has_room = self.held < DESTINATIONS;
        if has_room {
            self.held += 1;
        } else {
            self.leave_out(LeftOut::Limit, &of.to_string());
        }
        has_room
    }

    /// The text of a profile in block mode that allows what passed.
    #[must_use]
    pub fn write(&self, heading: &Heading, wildcards: Wildcards) -> Written {
        let plan = Plan::new(self, None, wildcards);
        let name = if is_profile_name(&heading.name) { &heading.name } else { "suggested" };
        let text = render::profile(name, heading, &plan);
        Written { text, rules: plan.rules.len(), refused: plan.refused.len() }
    }

    /// The entries of `allow` alone, names as they are; `None` where there would be none.
    #[must_use]
    pub fn rules(&self) -> Option<String> {
        let plan = Plan::new(self, None, Wildcards::Never);
        let text = render::rules(&plan.rules, 4, Style::Block) + &render::told(&plan, 0);
        (!plan.rules.is_empty()).then_some(text)
    }

    /// The text of a profile that allows what passed besides all that `base` allows already. Nothing else of the file
    /// is changed.
    ///
    /// # Errors
    /// [`MergeError`] where the outcome would be no valid profile, or not allow what passed.
    pub fn merge_into(&self, base: &Base, wildcards: Wildcards) -> Result<Merged, MergeError> {
        merge::merge(self, base, wildcards)
    }
}

/// A profile that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file's text.
    pub text: String,
    /// How many rules it has.
    pub rules: usize,
    /// How many refused destinations it lists and does not allow.
    pub refused: usize,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Whether a rule can name this port: 0 can be connected to, and is none.
fn can_be_written(port: Port) -> bool {
    port.number != 0 || port == Port::ICMP
}

/// Whether a profile allows a destination with this port, private answers included where that is needed.
fn allows(profile: &Profile, subject: &Subject, port: Port, private: bool) -> bool {
    use super::decision::NameDecision;
    use super::networks::AddressDecision;
    match subject {
        Subject::Name(name) => match profile.decide_name(name) {
            NameDecision::Allowed(grants) => grants
                .iter()
                .any(|grant| grant.ports.contains(&port) && (grant.private || !private)),
            NameDecision::Denied { .. } | NameDecision::NotListed => false,
        },
        Subject::Address(address) => {
            matches!(profile.decide_address(*address, port), AddressDecision::Allowed { .. })
        }
    }
}
