//! The rebinding guard: how far an address may be believed in an answer from upstream.
//!
//! A public name that leads to an address inside the node's network is DNS rebinding, whoever
//! wrote the record. The ranges are those of the IANA special-purpose registries (RFC 6890 and
//! successors), and every form that carries an IPv4 address inside an IPv6 one is judged by what it
//! carries. Documentation ranges (RFC 5737, RFC 3849) count as public: they reach nothing, and labs
//! use them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[cfg(test)]
mod tests;

/// How far an address may be believed; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exposure {
    /// Globally reachable.
    Public,
    /// Inside somebody's network: only where a rule says `private: true`.
    Private,
    /// Loopback, metadata services, multicast and the like: no rule opens them.
    Never,
}

/// Instance metadata and credential services that live on addresses of their own.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254), // most clouds
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
    Ipv4Addr::new(169, 254, 170, 23),  // AWS EKS pod identity
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure wire server
];
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23),  // AWS EKS pod identity
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254), // Google Cloud
];

/// How far `address` may be believed.
#[must_use]
pub fn exposure(address: IpAddr) -> Exposure {
    match address {
        IpAddr::V4(address) => exposure_v4(address),
        IpAddr::V6(address) => exposure_v6(address),
    }
}

fn exposure_v4(address: Ipv4Addr) -> Exposure {
    if METADATA_V4.contains(&address) {
        return Exposure::Never;
    }
    match address.octets() {
        // "This network", loopback, multicast, limited broadcast.
        [0 | 127 | 224..=239, ..] | [255, 255, 255, 255] => Exposure::Never,
        // RFC 1918, shared space (RFC 6598), link-local, IETF protocol assignments, benchmarking
        // (RFC 2544), reserved class E.
        [10 | 240..=255, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [169, 254, ..]
        | [192, 0, 0, _]
        | [198, 18 | 19, ..] => Exposure::Private,
        _ => Exposure::Public,
    }
}

#[expect(clippy::match_same_arms, reason = "ISATAP comes after the prefixes that are not public")]
fn exposure_v6(address: Ipv6Addr) -> Exposure {
    if METADATA_V6.contains(&address) || address.is_multicast() {
        return Exposure::Never;
    }
    let segments = address.segments();
    let [.., high, low] = segments;
    let last = exposure_v4(join(high, low));
    match segments {
        // Unspecified and loopback, before they look like IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Exposure::Never,
        // IPv4-compatible, v4-mapped, IPv4-translated (RFC 2765), NAT64 well-known prefix.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => last,
        // NAT64 for local use (RFC 8215): never global, whatever it carries.
        [0x64, 0xff9b, 1, ..] => last.max(Exposure::Private),
        // 6to4 (RFC 3056); Teredo (RFC 4380) carries its server and, inverted, its client.
        [0x2002, high, low, ..] => exposure_v4(join(high, low)),
        [0x2001, 0, server_high, server_low, ..] => {
            let server = exposure_v4(join(server_high, server_low));
            server.max(exposure_v4(join(!high, !low)))
        }
        // Discard-only (RFC 6666), benchmarking (RFC 5180), unique local, link-local, site-local.
        [0x100, 0, 0, 0, ..] | [0x2001, 2, 0, ..] | [0xfc00..=0xfdff | 0xfe80..=0xfeff, ..] => {
            Exposure::Private
        }
        // ISATAP (RFC 5214): an interface identifier under any prefix.
        [_, _, _, _, 0 | 0x0200, 0x5efe, ..] => last,
        [0, ..] => Exposure::Never, // the rest of ::/16 is nobody's (RFC 4291)
        _ => Exposure::Public,
    }
}

/// The IPv4 address that two segments of an IPv6 address spell.
fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}
