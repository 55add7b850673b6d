//! What a process did with one destination.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use weir_ebpf::{flow::Outcome, reason::Reason};

use crate::{
    attribution::Identity,
    policy::{Provenance, RuleIndex},
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
}
