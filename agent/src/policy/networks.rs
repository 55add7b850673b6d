//! Finds the rules that an address meets, and prepares the same answer for the kernel.
//!
//! The kernel's trie returns one value, that of the longest prefix. So each distinct prefix carries
//! the union of the ports of all prefixes that cover it, and one lookup equals the union of the
//! rules. The agent's own answers come from the same list, so that the two cannot differ.
//!
//! IPv4-mapped addresses and prefixes are IPv4 here: an IPv6 prefix never speaks for IPv4.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::RuleIndex;
use super::port::Port;

#[cfg(test)]
mod tests;

/// One `cidrs` entry of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRule {
    /// The prefix, without host bits.
    pub net: IpNet,
    /// What the rule grants there.
    pub ports: Vec<Port>,
    /// The rule.
    pub rule: RuleIndex,
}

/// One entry of the kernel's trie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelNetwork {
    /// The prefix, IPv4 or IPv6.
    pub net: IpNet,
    /// What is allowed there, by this prefix or one that covers it, with the rule of the narrowest
    /// prefix that grants it. At most [`super::limits::PORTS`]. Empty only for the entry that keeps
    /// a wide IPv6 prefix from covering IPv4-mapped keys.
    pub ports: Vec<(Port, RuleIndex)>,
}

/// What a profile's `cidrs` say about an address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressDecision {
    /// A rule allows it.
    Allowed {
        /// The rule of the narrowest prefix that grants the port.
        rule: RuleIndex,
    },
    /// Rules cover the address, but none with this port.
    PortNotAllowed,
    /// No rule covers the address.
    NotListed,
}

/// All `cidrs` of a profile.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    rules: Vec<NetworkRule>,
    /// Sorted by address, then prefix length: what covers an entry stands before it.
    merged: Vec<Merged>,
}

#[derive(Clone, Debug)]
struct Merged {
    network: KernelNetwork,
    /// The narrowest other prefix that covers this one.
    parent: Option<usize>,
}

/// One prefix gathers more ports than [`super::limits::PORTS`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyPorts {
    pub(super) net: IpNet,
    pub(super) ports: Vec<(Port, RuleIndex)>,
}

impl Networks {
    /// Merges the entries of all rules.
    pub(super) fn new(rules: Vec<NetworkRule>) -> Result<Self, TooManyPorts> {
        let mut order: Vec<&NetworkRule> = rules.iter().collect();
        order.sort_by_key(|entry| (entry.net, entry.rule));
        let mut merged: Vec<Merged> = Vec::with_capacity(order.len());
        for entry in order {
            let position = match merged.last() {
                Some(last) if last.network.net == entry.net => merged.len() - 1,
                _ => {
                    let parent = covering(&merged, entry.net);
                    let ports = Vec::new();
                    let network = KernelNetwork { net: entry.net, ports };
                    merged.push(Merged { network, parent });
                    merged.len() - 1
                }
            };
            if let Some(own) = merged.get_mut(position) {
                let granted = entry.ports.iter().map(|port| (*port, entry.rule));
                add_ports(&mut own.network, granted)?;
            }
        }
        inherit(&mut merged)?;
        Ok(Self { rules, merged })
    }

    pub(super) fn rules(&self) -> &[NetworkRule] {
        &self.rules
    }

    pub(super) fn merged_len(&self) -> usize {
        self.merged.len()
    }

    /// The narrowest prefix that covers an address.
    pub(super) fn find(&self, address: IpAddr) -> Option<&KernelNetwork> {
        let host = IpNet::from(address.to_canonical());
        let at = covering(&self.merged, host)?;
        Some(&self.merged.get(at)?.network)
    }

    pub(super) fn decide(&self, address: IpAddr, port: Port) -> AddressDecision {
        let Some(network) = self.find(address) else {
            return AddressDecision::NotListed;
        };
        match network.ports.iter().find(|(granted, _)| *granted == port) {
            Some((_, rule)) => AddressDecision::Allowed { rule: *rule },
            None => AddressDecision::PortNotAllowed,
        }
    }

    pub(super) fn for_kernel(&self) -> Vec<KernelNetwork> {
        let mut networks: Vec<KernelNetwork> =
            self.merged.iter().map(|merged| merged.network.clone()).collect();
        // The kernel keeps IPv4 below ::ffff:0:0/96, so ::/0 and its like would answer for it.
        let all_v4 = IpNet::V4(Ipv4Net::default());
        let mapped = IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());
        if networks.iter().any(|network| network.net.contains(&mapped))
            && networks.iter().all(|network| network.net != all_v4)
        {
            networks.push(KernelNetwork { net: all_v4, ports: Vec::new() });
        }
        networks
    }
}

/// The last entry that covers `net` (which may equal it), in a list sorted as [`Networks::merged`] is.
fn covering(merged: &[Merged], net: IpNet) -> Option<usize> {
    let mut at = merged.partition_point(|entry| entry.network.net <= net).checked_sub(1)?;
    loop {
        let entry = merged.get(at)?;
        if entry.network.net.contains(&net) {
            return Some(at);
        }
        // Prefixes nest or are disjoint: what covers `net` also covers its left neighbour.
        at = entry.parent?;
    }
}

/// Gives each entry the ports of its parent; parents stand before children.
fn inherit(merged: &mut [Merged]) -> Result<(), TooManyPorts> {
    for at in 0..merged.len() {
        let (before, rest) = merged.split_at_mut(at);
        let Some(entry) = rest.first_mut() else { continue };
        let Some(parent) = entry.parent.and_then(|parent| before.get(parent)) else { continue };
        add_ports(&mut entry.network, parent.network.ports.iter().copied())?;
    }
    Ok(())
}

/// Adds what is not there yet; what is there has the better claim.
fn add_ports(
    network: &mut KernelNetwork,
    ports: impl Iterator<Item = (Port, RuleIndex)>,
) -> Result<(), TooManyPorts> {
    for (port, rule) in ports {
        if network.ports.iter().all(|(known, _)| *known != port) {
            network.ports.push((port, rule));
        }
    }
    if network.ports.len() > super::limits::PORTS {
        return Err(TooManyPorts { net: network.net, ports: network.ports.clone() });
    }
    Ok(())
}
