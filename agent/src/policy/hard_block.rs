//! What no profile can open: only the node's operator lifts one of these.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::port::{Port, Protocol};

/// The addresses at which clouds serve instance metadata and credentials.
pub const METADATA_ADDRESSES: [IpAddr; 7] = [
    // EC2, and most others after it.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // ECS task credentials and EKS pod identity.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    // Google Cloud over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure's wire server.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// A refusal that stands ahead of every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HardBlock {
    /// An address of [`METADATA_ADDRESSES`].
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
        if METADATA_ADDRESSES.contains(&address.to_canonical()) {
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
