//! Who lives where in the lab: documentation ranges alone (RFC 5737, RFC 3849), apart from the two
//! addresses that clouds give their metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 and an IPv6 address of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl Pair {
    /// Both, IPv4 first.
    #[must_use]
    pub const fn both(self) -> [IpAddr; 2] {
        [IpAddr::V4(self.v4), IpAddr::V6(self.v6)]
    }
}

const fn documentation(v4: [u8; 4], v6: u16) -> Pair {
    Pair {
        v4: Ipv4Addr::new(v4[0], v4[1], v4[2], v4[3]),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0, v6, 0, 0, 0, v4[3] as u16),
    }
}

/// The machine on which `weir run` stands.
pub const CLIENT: Pair = documentation([198, 51, 100, 10], 0x10);
/// The resolver that the client's resolv.conf names.
pub const RESOLVER: Pair = documentation([198, 51, 100, 53], 0x53);
/// The server of every zone.
pub const AUTHORITY: Pair = documentation([192, 0, 2, 53], 0x100);
/// The HTTPS servers: one host, many addresses.
pub const WEB: [Pair; 4] = [
    documentation([203, 0, 113, 10], 0x200),
    documentation([203, 0, 113, 11], 0x200),
    documentation([203, 0, 113, 12], 0x200),
    documentation([203, 0, 113, 13], 0x200),
];
/// A resolver that the client was not told of.
pub const FOREIGN: Pair = documentation([203, 0, 113, 153], 0x300);
/// The host to which nothing may get out.
pub const ATTACKER: Pair = documentation([203, 0, 113, 66], 0x666);
/// The instance metadata service.
pub const METADATA: Pair = Pair {
    v4: Ipv4Addr::new(169, 254, 169, 254),
    v6: Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
};
