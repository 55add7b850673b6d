//! The same packets read another way: slices of bytes, recursion, the standard library's addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{super::Shape, Address, Endpoint, Packet, address};

struct Upper {
    number: u8,
    ports: (u16, u16),
    shape: Shape,
}

const fn portless(number: u8, shape: Shape) -> Upper {
    Upper { number, ports: (0, 0), shape }
}

pub(super) fn ipv4(bytes: &[u8]) -> Packet {
    // A header, and the first four bytes behind it.
    if bytes.len() < 24 {
        return Packet::UNPARSABLE;
    }
    let address_at = |at: usize| -> IpAddr {
        Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]).into()
    };
    let number = bytes[9];
    let (version, header_words) = (bytes[0] / 16, bytes[0] % 16);
    let more_fragments = bytes[6] & 0b0010_0000 != 0;
    let offset = u16::from(bytes[6] & 0b0001_1111) * 256 + u16::from(bytes[7]);
    let upper = if version != 4 || header_words != 5 {
        portless(number, Shape::Unparsable)
    } else if more_fragments || offset != 0 {
        portless(number, Shape::Fragment)
    } else {
        read_upper(number, &bytes[20..], None)
    };
    packet(address(address_at(12)), address(address_at(16)), &upper)
}

pub(super) fn ipv6(bytes: &[u8]) -> Packet {
    if bytes.len() < 44 {
        return Packet::UNPARSABLE;
    }
    let address_at = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
    let (source, destination) = (address_at(8), address_at(24));
    let to_v4 = destination.to_ipv4_mapped().is_some();
    let hop_limit = if to_v4 { None } else { Some(bytes[7]) };
    let upper = if bytes[0] / 16 == 6 {
        read_chain(bytes[6], &bytes[40..], 0, hop_limit)
    } else {
        portless(bytes[6], Shape::Unparsable)
    };
    packet(address(source), address(destination), &upper)
}

/// Reads what begins at `rest`, `depth` extension headers behind the IPv6 header; without a hop limit it is for an IPv4
/// address.
fn read_chain(number: u8, rest: &[u8], depth: usize, hop_limit: Option<u8>) -> Upper {
    let is_extension = [0, 43, 44, 60].contains(&number);
    let needed = if depth == 0 && !is_extension { 4 } else { 8 };
    if rest.len() < needed || (is_extension && depth >= 4) {
        return portless(number, Shape::Unparsable);
    }
    match number {
        0 | 60 => {
            let length = (usize::from(rest[1]) + 1) * 8;
            read_chain(rest[0], rest.get(length..).unwrap_or(&[]), depth + 1, hop_limit)
        }
        43 => portless(number, Shape::Unparsable),
        44 => portless(rest[0], Shape::Fragment),
        _ => read_upper(number, rest, hop_limit),
    }
}

fn read_upper(number: u8, rest: &[u8], hop_limit: Option<u8>) -> Upper {
    let port = |at: usize| u16::from(rest[at]) * 256 + u16::from(rest[at + 1]);
    match (number, hop_limit) {
        (6 | 17, _) => Upper { number, ports: (port(0), port(2)), shape: Shape::Transport },
        (1, None) => portless(
            1,
            match rest[..2] {
                [8, 0] => Shape::Echo,
                [3, 4] => Shape::PathMtu,
                _ => Shape::Other,
            },
        ),
        (58, Some(hops)) => portless(
            1,
            match rest[0] {
                128 => Shape::Echo,
                2 => Shape::PathMtu,
                130 | 131 | 132 | 133 | 143 => Shape::LinkControl,
                135 | 136 if hops == 255 => Shape::Neighbour,
                _ => Shape::Other,
            },
        ),
        _ => portless(number, Shape::Other),
    }
}

fn packet(source: Address, destination: Address, upper: &Upper) -> Packet {
    Packet {
        source: Endpoint::new(source, upper.number, upper.ports.0),
        destination: Endpoint::new(destination, upper.number, upper.ports.1),
        shape: upper.shape,
    }
}
