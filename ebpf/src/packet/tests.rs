//! The parser, clause by clause; then over random packets against a parser of another making.

extern crate std;

mod build;
mod naive;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{vec, vec::Vec};

use proptest::prelude::*;

use self::build::{Extension, Ipv4, Ipv6, any_ipv4, any_ipv6};
use super::*;

/// What the programs do: the words that the parser wants, or nothing at all.
fn load<const WORDS: usize>(bytes: &[u8], offset: u32) -> Option<[u32; WORDS]> {
    let bytes = bytes.get(offset as usize..)?.get(..WORDS * 4)?;
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    Some(words)
}

fn parsed_ipv4(bytes: &[u8]) -> Packet {
    load(bytes, 0).map_or(Packet::UNPARSABLE, |words| parse_ipv4(&words, 0))
}

fn parsed_ipv6(bytes: &[u8]) -> Packet {
    load(bytes, 0)
        .map_or(Packet::UNPARSABLE, |words| parse_ipv6(&words, 0, |offset| load(bytes, offset)))
}

fn address(ip: impl Into<IpAddr>) -> Address {
    Address::from(ip.into())
}

const TCP_SYN: [u8; 20] =
    [0xc0, 0x01, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
const ECHO: [u8; 8] = [8, 0, 0, 0, 0, 1, 0, 1];
const ECHO_V6: [u8; 8] = [128, 0, 0, 0, 0, 1, 0, 1];

fn ipv4(number: u8, payload: &[u8]) -> Ipv4 {
    Ipv4 { number, payload: payload.to_vec(), ..Ipv4::default() }
}

fn ipv6(extensions: &[Extension], number: u8, payload: &[u8]) -> Ipv6 {
    Ipv6 { extensions: extensions.to_vec(), number, payload: payload.to_vec(), ..Ipv6::default() }
}

#[track_caller]
fn check_ipv4(packet: &Ipv4, shape: Shape) {
    assert_eq!(parsed_ipv4(&packet.bytes()).shape, shape, "{packet:x?}");
}

#[track_caller]
fn check_ipv6(packet: &Ipv6, shape: Shape) {
    assert_eq!(parsed_ipv6(&packet.bytes()).shape, shape, "{packet:x?}");
}

#[test]
fn ipv4_tcp_and_udp_have_both_endpoints() {
    for number in [protocol::TCP, protocol::UDP] {
        let packet = ipv4(number, &TCP_SYN);
        let expected = Packet {
            source: Endpoint::new(address(packet.source), number, 0xc001),
            destination: Endpoint::new(address(packet.destination), number, 443),
            shape: Shape::Transport,
        };
        assert_eq!(parsed_ipv4(&packet.bytes()), expected);
    }
}

#[test]
fn ipv4_options_are_unparsable_whatever_their_length() {
    let packet = ipv4(protocol::TCP, &TCP_SYN);
    for first in (0..=u8::MAX).filter(|first| *first != 0x45) {
        let mut bytes = packet.bytes();
        bytes[0] = first;
        assert_eq!(parsed_ipv4(&bytes).shape, Shape::Unparsable, "{first:x}");
    }
    for words in 1..=10 {
        check_ipv4(&Ipv4 { options: vec![1; words * 4], ..packet.clone() }, Shape::Unparsable);
    }
}

#[test]
fn ipv4_fragments_are_told_by_flag_and_by_offset() {
    let packet = ipv4(protocol::UDP, &TCP_SYN);
    // More fragments; the last fragment; one in between; offsets of one bit each (RFC 791 §3.1).
    for fragment in [0x2000, 0x0001, 0x2001, 0x1000, 0x0080, 0x6000, 0xa000, 0xffff] {
        check_ipv4(&Ipv4 { fragment, ..packet.clone() }, Shape::Fragment);
    }
    // Don't fragment, and the reserved bit (RFC 3514).
    for fragment in [0x0000, 0x4000, 0x8000, 0xc000] {
        check_ipv4(&Ipv4 { fragment, ..packet.clone() }, Shape::Transport);
    }
}

#[test]
fn ipv4_fragments_show_no_ports() {
    let packet = Ipv4 { fragment: 0x2000, ..ipv4(protocol::UDP, &TCP_SYN) };
    let parsed = parsed_ipv4(&packet.bytes());
    assert_eq!((parsed.source.port, parsed.destination.port), (0, 0));
    assert_eq!(parsed.destination.address, address(packet.destination));
}

#[test]
fn icmp_is_read_by_type_and_code() {
    check_ipv4(&ipv4(protocol::ICMP, &ECHO), Shape::Echo);
    // Fragmentation needed (RFC 1191 §4).
    check_ipv4(&ipv4(protocol::ICMP, &[3, 4, 0, 0]), Shape::PathMtu);
    // Echo reply, other unreachables, redirect, timestamp, an echo with a code that it has not.
    for start in [[0, 0], [3, 0], [3, 1], [3, 3], [5, 0], [13, 0], [8, 1], [4, 3]] {
        check_ipv4(&ipv4(protocol::ICMP, &[start[0], start[1], 0, 0]), Shape::Other);
    }
}

#[test]
fn icmpv6_is_read_by_type() {
    check_ipv6(&ipv6(&[], protocol::ICMPV6, &ECHO_V6), Shape::Echo);
    check_ipv6(&ipv6(&[], protocol::ICMPV6, &[2, 0, 0, 0]), Shape::PathMtu);
    // Multicast listeners, router solicitations, MLDv2.
    for kind in [130, 131, 132, 133, 143] {
        check_ipv6(&ipv6(&[], protocol::ICMPV6, &[kind, 0, 0, 0]), Shape::LinkControl);
    }
    // Unreachable, time exceeded, echo reply, router advertisement, redirect, node information query.
    for kind in [0, 1, 3, 4, 127, 129, 134, 137, 139, 142, 144, 255] {
        check_ipv6(&ipv6(&[], protocol::ICMPV6, &[kind, 0, 0, 0]), Shape::Other);
    }
}

#[test]
fn only_what_no_router_forwarded_is_of_a_neighbour() {
    for kind in [135, 136] {
        let packet = |extensions: &[Extension], hop_limit| Ipv6 {
            hop_limit,
            ..ipv6(extensions, protocol::ICMPV6, &[kind, 0, 0, 0, 0, 0, 0, 0])
        };
        for extensions in [&[][..], &[Extension::HopByHop(0)]] {
            check_ipv6(&packet(extensions, 255), Shape::Neighbour);
            for hop_limit in [0, 1, 64, 254] {
                check_ipv6(&packet(extensions, hop_limit), Shape::Other);
            }
        }
    }
}

#[test]
fn echo_of_both_families_is_one_protocol_without_ports() {
    let v4 = parsed_ipv4(&ipv4(protocol::ICMP, &ECHO).bytes()).destination;
    let v6 = parsed_ipv6(&ipv6(&[], protocol::ICMPV6, &ECHO_V6).bytes()).destination;
    assert_eq!((v4.protocol, v4.port), (protocol::ICMP, 0));
    assert_eq!((v6.protocol, v6.port), (protocol::ICMP, 0));
}

#[test]
fn the_icmp_of_one_family_is_nothing_in_the_other() {
    check_ipv4(&ipv4(protocol::ICMPV6, &ECHO_V6), Shape::Other);
    check_ipv6(&ipv6(&[], protocol::ICMP, &ECHO), Shape::Other);
}

#[test]
fn protocols_that_no_rule_can_name_are_other() {
    // IGMP, IP in IP, IPv6 in IP, GRE, ESP, AH, no next header, SCTP, UDP-Lite, MPLS, raw.
    for number in [2, 4, 41, 47, 50, 51, 59, 132, 136, 137, 255] {
        check_ipv4(&ipv4(number, &TCP_SYN), Shape::Other);
        check_ipv6(&ipv6(&[], number, &TCP_SYN), Shape::Other);
        check_ipv6(&ipv6(&[Extension::HopByHop(0)], number, &TCP_SYN), Shape::Other);
    }
    // IPv6's own extension headers mean nothing in IPv4.
    for number in [0, 43, 44, 60] {
        check_ipv4(&ipv4(number, &TCP_SYN), Shape::Other);
    }
}

#[test]
fn what_is_cut_short_is_unparsable() {
    let v4 = ipv4(protocol::TCP, &TCP_SYN).bytes();
    for length in 0..24 {
        assert_eq!(parsed_ipv4(&v4[..length]), Packet::UNPARSABLE, "{length}");
    }
    assert_eq!(parsed_ipv4(&v4[..24]).shape, Shape::Transport);

    let v6 = ipv6(&[], protocol::TCP, &TCP_SYN).bytes();
    for length in 0..44 {
        assert_eq!(parsed_ipv6(&v6[..length]), Packet::UNPARSABLE, "{length}");
    }
    assert_eq!(parsed_ipv6(&v6[..44]).shape, Shape::Transport);

    let chain = [Extension::HopByHop(0), Extension::Destination(1)];
    let v6 = ipv6(&chain, protocol::TCP, &TCP_SYN).bytes();
    let header_bytes = 40 + 8 + 16;
    for length in 44..header_bytes + 8 {
        assert_eq!(parsed_ipv6(&v6[..length]).shape, Shape::Unparsable, "{length}");
    }
    assert_eq!(parsed_ipv6(&v6[..header_bytes + 8]).shape, Shape::Transport);
}

#[test]
fn an_extension_header_that_claims_more_than_there_is_hides_the_ports() {
    let mut bytes = ipv6(&[Extension::HopByHop(0)], protocol::TCP, &TCP_SYN).bytes();
    bytes[41] = 255;
    assert_eq!(parsed_ipv6(&bytes).shape, Shape::Unparsable);
}

#[test]
fn ipv6_extension_headers_are_followed_up_to_the_bound() {
    for count in 0..=MAX_EXTENSIONS {
        let chain: Vec<_> = (0..count).map(|index| Extension::Destination(index % 3)).collect();
        let packet = ipv6(&chain, protocol::TCP, &TCP_SYN);
        let parsed = parsed_ipv6(&packet.bytes());
        assert_eq!(parsed.shape, Shape::Transport, "{count}");
        let expected = Endpoint::new(address(packet.destination), protocol::TCP, 443);
        assert_eq!(parsed.destination, expected, "{count}");
    }
    for count in MAX_EXTENSIONS + 1..8 {
        let chain = vec![Extension::Destination(0); count];
        check_ipv6(&ipv6(&chain, protocol::TCP, &TCP_SYN), Shape::Unparsable);
    }
}

#[test]
fn a_routing_header_is_unparsable_wherever_it_stands() {
    for before in 0..MAX_EXTENSIONS {
        let mut chain = vec![Extension::Destination(0); before];
        chain.push(Extension::Routing(0));
        check_ipv6(&ipv6(&chain, protocol::TCP, &TCP_SYN), Shape::Unparsable);
    }
}

#[test]
fn a_fragment_header_is_a_fragment_wherever_it_stands() {
    for before in 0..MAX_EXTENSIONS {
        let mut chain = vec![Extension::Destination(0); before];
        // Offset 0 without more fragments is an "atomic fragment" (RFC 6946): one too.
        chain.push(Extension::Fragment(0));
        check_ipv6(&ipv6(&chain, protocol::TCP, &TCP_SYN), Shape::Fragment);
    }
}

#[test]
fn a_v4_mapped_address_on_the_wire_is_the_ipv4_endpoint() {
    let v4 = Ipv4Addr::new(192, 0, 2, 7);
    let wrapped = Ipv6 { destination: v4.to_ipv6_mapped(), ..ipv6(&[], protocol::TCP, &TCP_SYN) };
    let plain = Ipv4 { destination: v4, ..ipv4(protocol::TCP, &TCP_SYN) };
    let wrapped = parsed_ipv6(&wrapped.bytes()).destination;
    assert_eq!(wrapped, parsed_ipv4(&plain.bytes()).destination);
    // IPv4-compatible (deprecated, RFC 4291 §2.5.5.1) is not.
    let compatible = Ipv6 {
        destination: Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0xc000, 0x0207),
        ..ipv6(&[], protocol::TCP, &TCP_SYN)
    };
    assert_ne!(parsed_ipv6(&compatible.bytes()).destination, wrapped);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn ipv4_is_read_as_by_the_naive_parser(packet in any_ipv4()) {
        let bytes = packet.bytes();
        prop_assert_eq!(parsed_ipv4(&bytes), naive::ipv4(&bytes));
    }

    #[test]
    fn ipv6_is_read_as_by_the_naive_parser(packet in any_ipv6(), cut in 0..200_usize) {
        let mut bytes = packet.bytes();
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(150)));
        prop_assert_eq!(parsed_ipv6(&bytes), naive::ipv6(&bytes));
    }

    #[test]
    fn noise_is_read_as_by_the_naive_parser(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..160),
        version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
        number in 0..64_u8,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        prop_assert_eq!(parsed_ipv4(&bytes), naive::ipv4(&bytes));
        if let Some(next) = bytes.get_mut(6) {
            *next = number;
        }
        prop_assert_eq!(parsed_ipv6(&bytes), naive::ipv6(&bytes));
    }

    #[test]
    fn ipv4_has_ports_only_without_options_and_fragments(packet in any_ipv4()) {
        let parsed = parsed_ipv4(&packet.bytes());
        if parsed.shape == Shape::Transport {
            let whole = [0, 0x4000, 0x8000, 0xc000].contains(&packet.fragment);
            prop_assert!(packet.options.is_empty() && whole);
        } else {
            prop_assert_eq!((parsed.source.port, parsed.destination.port), (0, 0));
        }
    }

    #[test]
    fn ipv6_has_ports_only_without_routing_and_fragment_headers(packet in any_ipv6()) {
        let parsed = parsed_ipv6(&packet.bytes());
        if parsed.shape == Shape::Transport {
            let plain = |one: &Extension| {
                matches!(one, Extension::HopByHop(_) | Extension::Destination(_))
            };
            prop_assert!(packet.extensions.iter().all(plain));
            prop_assert!(packet.extensions.len() <= MAX_EXTENSIONS);
            prop_assert_eq!(parsed.destination.address, address(packet.destination));
            prop_assert_eq!(parsed.source.address, address(packet.source));
            prop_assert_eq!(parsed.destination.port.to_be_bytes(), &packet.payload[2..4]);
        } else {
            prop_assert_eq!((parsed.source.port, parsed.destination.port), (0, 0));
        }
    }

    #[test]
    fn extension_headers_end_the_search_whatever_is_loaded(words: [u32; IPV6_WORDS], served: [u32; 2]) {
        let mut loads = 0;
        let parsed = parse_ipv6(&words, 0, |_| {
            loads += 1;
            Some(served)
        });
        prop_assert!(loads <= MAX_EXTENSIONS + 1, "{} loads for {:?}", loads, parsed);
    }
}
