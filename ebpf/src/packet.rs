//! The headers of one packet, as far as the verdict needs them.
//!
//! The programs load a fixed number of bytes with one helper call and hand them over as words; IPv6
//! extension headers are fetched through a closure. Nothing here trusts a length field: what was
//! not loaded does not count.
//!
//! Where packets of several kinds come together again behind the parser, they must not differ in what is a constant of
//! their kind: the verifier would go on with each kind by itself, through all that follows. So the parsers take a `zero`
//! of which only the caller knows that it is one, and what would be a constant is made of it.

use crate::address::{Address, Endpoint, protocol};

/// Words of an IPv4 packet that the parser wants: the header without options, and four bytes more.
pub const IPV4_WORDS: usize = 6;
/// Words of an IPv6 packet that the parser wants: the header, and four bytes more.
pub const IPV6_WORDS: usize = 11;
/// IPv6 extension headers that are followed before a packet counts as unparsable.
pub const MAX_EXTENSIONS: usize = 4;

const IPV6_HEADER_BYTES: u32 = 40;

/// What kind of packet it is, to the verdict. Never zero; see [`Packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shape {
    /// TCP or UDP with both ports read.
    Transport = 1,
    /// An ICMP or `ICMPv6` echo request.
    Echo,
    /// A router solicitation, or what multicast listeners and those who ask for them say (RFC 4861, RFC 3810): all of it
    /// for the link alone. An advertisement of a router is none: a pod is no router.
    LinkControl,
    /// A neighbour solicitation or advertisement with the hop limit that no forwarded one has (RFC 4861, 7.1).
    Neighbour,
    /// A path-MTU message: ICMP type 3 code 4 (RFC 1191), `ICMPv6` type 2 (RFC 8201).
    PathMtu,
    /// A fragment, the first one included: what it completes to is not known here.
    Fragment,
    /// A protocol, or an ICMP type, that no rule can name.
    Other,
    /// Not to be parsed, or made to be read differently further on (source routes).
    Unparsable,
}

/// A parsed packet.
///
/// In this order, a word that is never zero stands between the zero that ends one endpoint and those
/// that begin an IPv4 address: side by side, the compiler makes them one odd-sized `memset`, which
/// on the kernel's target is a call and a loop over bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Packet {
    /// Source; port 0 unless [`Shape::Transport`].
    pub source: Endpoint,
    /// What it is.
    pub shape: Shape,
    /// Destination; port 0 unless [`Shape::Transport`].
    pub destination: Endpoint,
}

impl Packet {
    /// A packet of which nothing could be read.
    pub const UNPARSABLE: Self = Self::unparsable(0);

    /// [`Self::UNPARSABLE`], of which the verifier knows nothing.
    #[inline(always)]
    #[must_use]
    pub const fn unparsable(zero: u32) -> Self {
        let nowhere = Address([zero; 4]);
        Headers { addresses: (nowhere, nowhere), zero }.packet(0, (0, 0), Shape::Unparsable)
    }
}

/// What all packets of one parser's run have in common.
#[derive(Clone, Copy)]
struct Headers {
    addresses: (Address, Address),
    zero: u32,
}

impl Headers {
    #[inline(always)]
    const fn packet(self, number: u8, ports: (u16, u16), shape: Shape) -> Packet {
        let number = number | (self.zero & 0xff) as u8;
        let zero = (self.zero & 0xffff) as u16;
        let ports = (ports.0 | zero, ports.1 | zero);
        Packet {
            source: Endpoint::new(self.addresses.0, number, ports.0),
            destination: Endpoint::new(self.addresses.1, number, ports.1),
            shape,
        }
    }
}

/// The v4-mapped form of an address in network byte order.
#[inline(always)]
const fn mapped(address: u32, zero: u32) -> Address {
    let [w0, w1, w2, w3] = Address::from_v4_be(address).0;
    Address([w0 | zero, w1 | zero, w2 | zero, w3])
}

/// Bytes `index` of a word in network order, as a number.
#[inline(always)]
const fn byte(word: u32, index: u32) -> u8 {
    ((u32::from_be(word) >> (24 - 8 * index)) & 0xff) as u8
}

/// Parses an IPv4 packet from its first 24 bytes (RFC 791).
///
/// Packets with options are unparsable: a source route makes the wire's destination another than
/// the one a socket's connect was judged by, and nothing in a CI job needs the rest.
#[inline(always)]
#[must_use]
pub const fn parse_ipv4(words: &[u32; IPV4_WORDS], zero: u32) -> Packet {
    let [first, fragment, ttl_protocol, source, destination, payload] = *words;
    let headers = Headers { addresses: (mapped(source, zero), mapped(destination, zero)), zero };
    let number = byte(ttl_protocol, 1);
    if byte(first, 0) != 0x45 {
        return headers.packet(number, (0, 0), Shape::Unparsable);
    }
    // The more-fragments flag and the offset (RFC 791 §3.1); the reserved and don't-fragment bits aside.
    if u32::from_be(fragment) & 0x3fff != 0 {
        return headers.packet(number, (0, 0), Shape::Fragment);
    }
    transport(headers, true, number, payload, byte(ttl_protocol, 0))
}

/// Parses an IPv6 packet from its first 44 bytes (RFC 8200). `load` returns the 8 bytes at an offset
/// from the start of the packet as two words in network order, and serves the extension headers.
#[inline(always)]
pub fn parse_ipv6(
    words: &[u32; IPV6_WORDS],
    zero: u32,
    mut load: impl FnMut(u32) -> Option<[u32; 2]>,
) -> Packet {
    let [first, length, s0, s1, s2, s3, d0, d1, d2, d3, payload] = *words;
    let headers =
        Headers { addresses: (Address([s0, s1, s2, s3]), Address([d0, d1, d2, d3])), zero };
    let is_v4 = headers.addresses.1.v4_be().is_some();
    let mut number = byte(length, 2);
    if byte(first, 0) >> 4 != 6 {
        return headers.packet(number, (0, 0), Shape::Unparsable);
    }
    let hop_limit = byte(length, 3);
    if !is_extension(number) {
        return transport(headers, is_v4, number, payload, hop_limit);
    }
    let mut offset = IPV6_HEADER_BYTES;
    for _ in 0..MAX_EXTENSIONS {
        let Some([header, _]) = load(offset) else {
            return headers.packet(number, (0, 0), Shape::Unparsable);
        };
        match number {
            extension::FRAGMENT => {
                return headers.packet(byte(header, 0), (0, 0), Shape::Fragment);
            }
            extension::HOP_BY_HOP | extension::DESTINATION => {
                number = byte(header, 0);
                // In units of 8 bytes, not counting the first (RFC 8200 §4.3).
                offset = offset.wrapping_add((u32::from(byte(header, 1)) + 1) * 8);
            }
            // A routing header sends the packet on to where nobody here has looked.
            _ => return headers.packet(number, (0, 0), Shape::Unparsable),
        }
        if !is_extension(number) {
            return match load(offset) {
                Some([payload, _]) => transport(headers, is_v4, number, payload, hop_limit),
                None => headers.packet(number, (0, 0), Shape::Unparsable),
            };
        }
    }
    headers.packet(number, (0, 0), Shape::Unparsable)
}

/// IPv6 extension headers (IANA "IPv6 Extension Header Types").
mod extension {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION: u8 = 60;
}

#[inline(always)]
const fn is_extension(number: u8) -> bool {
    matches!(
        number,
        extension::HOP_BY_HOP | extension::ROUTING | extension::FRAGMENT | extension::DESTINATION
    )
}

/// Reads the first four bytes of the payload: ports, or ICMP type and code.
#[inline(always)]
const fn transport(
    headers: Headers,
    is_v4: bool,
    number: u8,
    payload: u32,
    hop_limit: u8,
) -> Packet {
    match number {
        protocol::TCP | protocol::UDP => {
            let ports = u32::from_be(payload);
            let ports = ((ports >> 16) as u16, (ports & 0xffff) as u16);
            headers.packet(number, ports, Shape::Transport)
        }
        // A rule that names ICMP means both families: one protocol number in every key.
        protocol::ICMP if is_v4 => {
            let shape = match (byte(payload, 0), byte(payload, 1)) {
                (8, 0) => Shape::Echo,
                (3, 4) => Shape::PathMtu,
                _ => Shape::Other,
            };
            headers.packet(protocol::ICMP, (0, 0), shape)
        }
        protocol::ICMPV6 if !is_v4 => {
            let shape = match byte(payload, 0) {
                128 => Shape::Echo,
                2 => Shape::PathMtu,
                130..=133 | 143 => Shape::LinkControl,
                135 | 136 if hop_limit == u8::MAX => Shape::Neighbour,
                _ => Shape::Other,
            };
            headers.packet(protocol::ICMP, (0, 0), shape)
        }
        _ => headers.packet(number, (0, 0), Shape::Other),
    }
}

#[cfg(test)]
mod tests;
