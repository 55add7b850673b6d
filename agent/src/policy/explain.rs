//! Why a profile allows or refuses a destination, for a person.
//!
//! The questions go to the same [`Profile`] methods that the resolver and the datapath use; nothing is
//! decided here a second time.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::decision::{NameDecision, RuleIndex};
use super::hard_block::HardBlock;
use super::host::HostName;
use super::networks::AddressDecision;
use super::port::Port;
use super::profile::Profile;
use super::settings::Mode;
use super::target::{Host, Target};

#[cfg(test)]
mod tests;

/// The verdict on one destination and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    target: Target,
    profile: String,
    mode: Mode,
    rule: String,
    /// Why.
    pub cause: Cause,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Loopback always passes.
    Loopback,
    /// Refused ahead of every rule.
    HardBlock(HardBlock),
    /// A rule allows the name with this port.
    NameAllowed {
        /// The name or wildcard that covers it.
        pattern: String,
    },
    /// A rule's prefix allows the address with this port.
    AddressAllowed {
        /// The rule's narrowest prefix that covers it.
        net: IpNet,
    },
    /// `deny` names the host.
    NameDenied {
        /// The name or wildcard that covers it.
        pattern: String,
    },
    /// Rules cover the destination, but not with this port.
    PortNotAllowed {
        /// The ports that they do allow.
        ports: Vec<Port>,
    },
    /// No rule names the host.
    NameNotListed,
    /// No rule covers the address.
    AddressNotListed,
}

/// Asks a profile about a destination.
#[must_use]
pub fn explain(profile: &Profile, target: &Target) -> Explanation {
    let (rule, cause) = match &target.host {
        Host::Name(name) => explain_name(profile, name, target.port),
        Host::Address(address) => explain_address(profile, *address, target.port),
    };
    Explanation {
        target: target.clone(),
        profile: profile.name().to_owned(),
        mode: profile.mode(),
        rule: profile.rule_id(rule).to_owned(),
        cause,
    }
}

fn explain_name(profile: &Profile, name: &HostName, port: Port) -> (RuleIndex, Cause) {
    if let Some(block) = HardBlock::of_port(port) {
        return (RuleIndex::DEFAULT_DENY, Cause::HardBlock(block));
    }
    match profile.decide_name(name) {
        NameDecision::NotListed => (RuleIndex::DEFAULT_DENY, Cause::NameNotListed),
        NameDecision::Denied { rule } => {
            let pattern = profile.denying_pattern(name).unwrap_or_else(|| name.to_string());
            (rule, Cause::NameDenied { pattern })
        }
        NameDecision::Allowed(grants) => {
            let Some(grant) = grants.iter().find(|grant| grant.ports.contains(&port)) else {
                let mut ports: Vec<_> =
                    grants.iter().flat_map(|grant| grant.ports).copied().collect();
                ports.sort_unstable();
                ports.dedup();
                return (RuleIndex::DEFAULT_DENY, Cause::PortNotAllowed { ports });
            };
            let wildcard = grant.wildcard.and_then(|index| profile.wildcard(index));
            let pattern = wildcard.map_or_else(|| name.to_string(), ToString::to_string);
            (grant.rule, Cause::NameAllowed { pattern })
        }
    }
}

fn explain_address(profile: &Profile, address: IpAddr, port: Port) -> (RuleIndex, Cause) {
    if address.to_canonical().is_loopback() {
        return (RuleIndex::DEFAULT_DENY, Cause::Loopback);
    }
    if let Some(block) = HardBlock::of(address, port) {
        return (RuleIndex::DEFAULT_DENY, Cause::HardBlock(block));
    }
    match (profile.decide_address(address, port), profile.network_of(address)) {
        (AddressDecision::Allowed { rule }, Some(network)) => {
            // The rule may grant through a wider prefix than the narrowest one there is.
            let granting = profile.networks().iter().filter(|entry| {
                entry.rule == rule
                    && entry.net.contains(&address.to_canonical())
                    && entry.ports.contains(&port)
            });
            let net = granting.map(|entry| entry.net).max_by_key(IpNet::prefix_len);
            (rule, Cause::AddressAllowed { net: net.unwrap_or(network.net) })
        }
        (AddressDecision::PortNotAllowed, Some(network)) => {
            let mut ports: Vec<_> = network.ports.iter().map(|(port, _)| *port).collect();
            ports.sort_unstable();
            (RuleIndex::DEFAULT_DENY, Cause::PortNotAllowed { ports })
        }
        _ => (RuleIndex::DEFAULT_DENY, Cause::AddressNotListed),
    }
}

impl Explanation {
    /// Whether the profile allows the destination. In audit mode what it refuses passes all the same.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(
            self.cause,
            Cause::Loopback | Cause::NameAllowed { .. } | Cause::AddressAllowed { .. }
        )
    }

    /// The reason that a record of the refusal gives.
    fn reason(&self) -> Option<&'static str> {
        match &self.cause {
            Cause::Loopback | Cause::NameAllowed { .. } | Cause::AddressAllowed { .. } => None,
            Cause::HardBlock(block) => Some(block.reason()),
            Cause::NameDenied { .. } | Cause::NameNotListed => Some("domain_not_in_allowlist"),
            Cause::PortNotAllowed { .. } => Some("port_not_allowed"),
            Cause::AddressNotListed => Some("direct_ip_no_dns"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.is_allowed(), self.mode) {
            (true, _) => "allowed",
            (false, Mode::Block) => "refused",
            (false, Mode::Audit) => "refused (in audit mode it passes and is reported)",
        };
        writeln!(f, "{}: {verdict}", self.target)?;
        writeln!(f, "  profile  {} ({})", self.profile, self.mode.as_str())?;
        match &self.cause {
            Cause::Loopback => {}
            Cause::HardBlock(block) => {
                writeln!(
                    f,
                    "  rule     none: {} is a hard block, ahead of all rules",
                    block.name()
                )?;
            }
            _ => writeln!(f, "  rule     {}", self.rule)?,
        }
        match &self.cause {
            Cause::NameAllowed { pattern } | Cause::NameDenied { pattern } => {
                writeln!(f, "  pattern  {pattern}")?;
            }
            Cause::AddressAllowed { net } => writeln!(f, "  prefix   {net}")?,
            _ => {}
        }
        if let Some(reason) = self.reason() {
            writeln!(f, "  reason   {reason}")?;
        }
        writeln!(f, "  why      {}", Why(&self.cause))
    }
}

/// A cause as a sentence.
struct Why<'a>(&'a Cause);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::Loopback => f.write_str("loopback never leaves the job"),
            Cause::HardBlock(block) => f.write_str(block.describe()),
            Cause::NameAllowed { .. } => {
                f.write_str("the rule allows the name on this port, at the addresses it resolves to")
            }
            Cause::AddressAllowed { .. } => {
                f.write_str("the rule allows the prefix on this port, without asking the resolver")
            }
            Cause::NameDenied { .. } => f.write_str("`deny` wins over every allow rule"),
            Cause::PortNotAllowed { ports } => {
                f.write_str("rules cover the destination, but only with ")?;
                for (at, port) in ports.iter().enumerate() {
                    write!(f, "{}{port}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Cause::NameNotListed => f.write_str("no rule names the host"),
            Cause::AddressNotListed => f.write_str(
                "no prefix covers the address; it opens only while it is the answer to an allowed name",
            ),
        }
    }
}
