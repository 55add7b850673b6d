//! What a process did with one destination.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use weir_ebpf::{
    address::protocol,
    flow::Outcome,
    reason::{REASONS, Reason},
};

use crate::{
    attribution::Identity,
    policy::{HostName, Observation, Port, Protocol, Provenance, RuleIndex, Seen},
};

/// One destination of one process, with all that was counted.
#[derive(Clone, Debug)]
pub struct Account {
    /// The process.
    pub process: Identity,
    /// Names that led to the address, the latest last; for a refused name, itself.
    pub hosts: Vec<String>,
    /// The address; `None` for a refused name.
    pub ip: Option<IpAddr>,
    /// The IP protocol number; `None` for a refused name.
    pub protocol: Option<u8>,
    /// The port; 0 where there is none.
    pub port: u16,
    /// What it was, where it was nothing that IP could carry.
    pub past_ip: Option<String>,
    /// What else is known of the process: bits of [`weir_ebpf::flow::known`].
    pub known: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it was not allowed.
    pub reason: Option<Reason>,
    /// Of the profile in force at the first sight.
    pub provenance: Arc<Provenance>,
    /// Its rule.
    pub rule: RuleIndex,
    /// Connects, packets of unconnected sockets, or questions.
    pub count: u64,
    /// IP bytes sent.
    pub bytes_up: u64,
    /// IP bytes received.
    pub bytes_down: u64,
    /// First sight.
    pub first: SystemTime,
    /// Last sight.
    pub last: SystemTime,
}

/// Refusals of `refused`, counts by the place of the reason, that are in none of these: `told` are reasons and counts.
/// They found no room to be told apart.
pub(super) fn untold(
    refused: &[u64; REASONS],
    told: impl IntoIterator<Item = (Reason, u64)>,
) -> Vec<(Reason, u64)> {
    let mut left = *refused;
    for (reason, count) in told {
        if let Some(left) = left.get_mut(reason.place()) {
            *left = left.saturating_sub(count);
        }
    }
    let counts =
        Reason::ALL.into_iter().filter_map(|reason| Some((reason, *left.get(reason.place())?)));
    counts.filter(|(_, count)| *count > 0).collect()
}

impl Account {
    /// The id of the rule in its profile.
    #[must_use]
    pub fn rule_id(&self) -> &str {
        self.provenance.rule_id(self.rule)
    }

    /// How often, when and by whom.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            count: self.count,
            process: Some(self.process.comm.clone()),
            job: None,
            first: self.first,
            last: self.last,
        }
    }

    /// What a profile would have to allow: one observation for each name that led to the address, or one without a
    /// name. None for what no rule can name.
    #[must_use]
    pub fn observations(&self) -> Vec<Observation> {
        let (Some(address), Some(number)) = (self.ip, self.protocol) else { return Vec::new() };
        let protocol = match number {
            protocol::TCP => Protocol::Tcp,
            protocol::UDP => Protocol::Udp,
            protocol::ICMP | protocol::ICMPV6 => Protocol::Icmp,
            _ => return Vec::new(),
        };
        if self.port == 0 && protocol != Protocol::Icmp {
            return Vec::new();
        }
        let observation = |host: Option<HostName>| Observation {
            host,
            address,
            port: Port { protocol, number: self.port },
            seen: self.seen(),
        };
        let names: Vec<HostName> =
            self.hosts.iter().filter_map(|name| HostName::parse(name).ok()).collect();
        if names.is_empty() {
            return vec![observation(None)];
        }
        names.into_iter().map(|name| observation(Some(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_apart_is_no_part_of_the_rest() {
        let mut refused = [0; REASONS];
        refused[Reason::DirectIpNoDns.place()] = 10;
        refused[Reason::DnsBypass.place()] = 3;
        let told = [(Reason::DirectIpNoDns, 4), (Reason::DirectIpNoDns, 5), (Reason::DnsBypass, 3)];
        assert_eq!(untold(&refused, told), [(Reason::DirectIpNoDns, 1)]);
        // A packet that comes between two readings is no debt.
        assert_eq!(
            untold(&refused, [(Reason::DirectIpNoDns, 11), (Reason::RawSocket, 1)]),
            [(Reason::DnsBypass, 3)]
        );
    }
}
