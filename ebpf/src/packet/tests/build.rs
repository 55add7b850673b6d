//! Packets as fields, and their bytes.

extern crate std;

use core::net::{Ipv4Addr, Ipv6Addr};
use std::{vec, vec::Vec};

use proptest::{collection, prelude::*};

/// An IPv4 packet (RFC 791 §3.1).
#[derive(Clone, Debug)]
pub(super) struct Ipv4 {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    /// A multiple of four bytes, 40 at most.
    pub(super) options: Vec<u8>,
    /// Flags and offset.
    pub(super) fragment: u16,
    pub(super) number: u8,
    pub(super) payload: Vec<u8>,
}

impl Default for Ipv4 {
    fn default() -> Self {
        Self {
            source: Ipv4Addr::new(198, 51, 100, 1),
            destination: Ipv4Addr::new(203, 0, 113, 9),
            options: Vec::new(),
            fragment: 0x4000,
            number: 6,
            payload: Vec::new(),
        }
    }
}

impl Ipv4 {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let words = 5 + self.options.len() / 4;
        let total = words * 4 + self.payload.len();
        let mut bytes = vec![0x40 | u8::try_from(words).unwrap(), 0];
        bytes.extend(u16::try_from(total).unwrap().to_be_bytes());
        bytes.extend([0x12, 0x34]);
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([64, self.number, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        bytes
    }
}

/// An IPv6 extension header (RFC 8200 §4), with how many times 8 bytes it is long beyond the first 8
/// or, for a fragment, its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    HopByHop(usize),
    Destination(usize),
    Routing(usize),
    Fragment(u16),
}

impl Extension {
    const fn number(self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::Destination(_) => 60,
            Self::Routing(_) => 43,
            Self::Fragment(_) => 44,
        }
    }

    fn write(self, next: u8, bytes: &mut Vec<u8>) {
        match self {
            Self::HopByHop(more) | Self::Destination(more) | Self::Routing(more) => {
                bytes.extend([next, u8::try_from(more).unwrap()]);
                // Looks like a port number and like a header number to who counts wrongly.
                bytes.resize(bytes.len() + 6 + more * 8, 6);
            }
            Self::Fragment(offset) => {
                bytes.extend([next, 0]);
                bytes.extend((offset << 3).to_be_bytes());
                bytes.extend([0, 0, 0, 7]);
            }
        }
    }
}

/// An IPv6 packet (RFC 8200 §3).
#[derive(Clone, Debug)]
pub(super) struct Ipv6 {
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) hop_limit: u8,
    pub(super) extensions: Vec<Extension>,
    /// Of the payload.
    pub(super) number: u8,
    pub(super) payload: Vec<u8>,
}

impl Default for Ipv6 {
    fn default() -> Self {
        Self {
            source: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
            destination: Ipv6Addr::new(0x2001, 0xdb8, 0, 9, 0, 0, 0, 9),
            hop_limit: 255,
            extensions: Vec::new(),
            number: 6,
            payload: Vec::new(),
        }
    }
}

impl Ipv6 {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let numbers = self.extensions.iter().map(|extension| extension.number());
        let numbers: Vec<u8> = numbers.chain([self.number]).collect();
        let mut rest = Vec::new();
        for (extension, next) in self.extensions.iter().zip(&numbers[1..]) {
            extension.write(*next, &mut rest);
        }
        rest.extend(&self.payload);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend([numbers[0], self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(rest);
        bytes
    }
}

fn any_number() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(6_u8), 4 => Just(17), 2 => Just(1), 2 => Just(58), 1 => any::<u8>()]
}

/// IPv6 upper-layer protocols; extension headers come from the chain alone.
fn any_upper() -> impl Strategy<Value = u8> {
    any_number().prop_filter("an extension header", |number| ![0, 43, 44, 60].contains(number))
}

pub(super) fn any_ipv4() -> impl Strategy<Value = Ipv4> {
    let options = prop_oneof![3 => Just(0_usize), 1 => 1..=10_usize]
        .prop_flat_map(|words| collection::vec(any::<u8>(), words * 4));
    let fragment = prop_oneof![2 => Just(0x4000_u16), 1 => Just(0), 1 => any::<u16>()];
    let addresses = (any::<[u8; 4]>(), any::<[u8; 4]>());
    (addresses, options, fragment, any_number(), collection::vec(any::<u8>(), 4..40)).prop_map(
        |((source, destination), options, fragment, number, payload)| Ipv4 {
            source: source.into(),
            destination: destination.into(),
            options,
            fragment,
            number,
            payload,
        },
    )
}

fn any_extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        4 => (0..4_usize).prop_map(Extension::HopByHop),
        4 => (0..4_usize).prop_map(Extension::Destination),
        1 => (0..4_usize).prop_map(Extension::Routing),
        1 => (0..8192_u16).prop_map(Extension::Fragment),
    ]
}

fn any_address() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![
        3 => any::<[u8; 16]>().prop_map(Ipv6Addr::from),
        1 => any::<[u8; 4]>().prop_map(|v4| Ipv4Addr::from(v4).to_ipv6_mapped()),
    ]
}

/// Chains of 0 to 6 extension headers, payloads of at least a transport header's first 8 bytes.
pub(super) fn any_ipv6() -> impl Strategy<Value = Ipv6> {
    let chain = collection::vec(any_extension(), 0..=6);
    let hop_limit = prop_oneof![Just(255), any::<u8>()];
    // The first byte is a type of ICMPv6 more often than by chance.
    let kind = prop_oneof![any::<u8>(), 127..=144_u8];
    let payload = (kind, collection::vec(any::<u8>(), 7..39))
        .prop_map(|(kind, rest)| [&[kind][..], &rest].concat());
    (any_address(), any_address(), hop_limit, chain, any_upper(), payload).prop_map(
        |(source, destination, hop_limit, extensions, number, payload)| Ipv6 {
            source,
            destination,
            hop_limit,
            extensions,
            number,
            payload,
        },
    )
}
