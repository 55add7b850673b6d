//! What a process did with one destination.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use weir_ebpf::{address::protocol, flow::Outcome, reason::Reason};

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
