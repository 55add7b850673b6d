//! What no profile can open: only the node's operator lifts one of these.

use std::net::IpAddr;

use weir_ebpf::address::Address;

use super::port::{Port, Protocol};

/// A refusal that stands ahead of every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HardBlock {
    /// An instance metadata service, as the kernel programs know them ([`Address::is_metadata`]).
    Metadata,
    /// Port 53: the job's own resolver answers, wherever the query was sent.
    Dns,
    /// Port 853, DNS over TLS or QUIC.
    Dot,
}

impl HardBlock {
    /// The block that an address and port meet; IPv4-mapped addresses count as IPv4.
    #[must_use]
    pub fn of(address: IpAddr, port: Port) -> Option<Self> {
        if Address::from(address).is_metadata() {
            return Some(Self::Metadata);
        }
        Self::of_port(port)
    }

    /// The block that a port meets on every address.
    #[must_use]
    pub fn of_port(port: Port) -> Option<Self> {
        match (port.protocol, port.number) {
            (Protocol::Tcp | Protocol::Udp, 53) => Some(Self::Dns),
            (Protocol::Tcp | Protocol::Udp, 853) => Some(Self::Dot),
            _ => None,
        }
    }

    /// The reason that records give.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Metadata => "metadata_service",
            Self::Dns => "dns_bypass",
            Self::Dot => "dot",
        }
    }

    /// What is blocked, in a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "the metadata service",
            Self::Dns => "port 53",
            Self::Dot => "port 853",
        }
    }

    /// Why, for a person.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Metadata => {
                "this is a cloud's metadata service; no profile can open it, only the node's operator"
            }
            Self::Dns => {
                "port 53 is captured: weir's resolver answers in its place, and nothing reaches the address"
            }
            Self::Dot => {
                "port 853 is encrypted DNS; no profile can open it, only the node's operator"
            }
        }
    }
}

#[cfg(test)]
mod tests;
