//! Packet headers: whatever the bytes are, they parse without a panic, and the verdict on what was
//! read keeps its promises, with tables and an admission that the bytes choose.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use weir_ebpf::{
    address::{Address, Endpoint},
    packet::{IPV4_WORDS, IPV6_WORDS, MAX_EXTENSIONS, Packet, Shape, parse_ipv4, parse_ipv6},
    pod::{AllowEntry, Network, NetworkPort, PodState, flags, network_flags},
    verdict::{
        Admission, Passage, Ruling, Tables, Verdict, judge_connect, judge_packet, judge_wire,
        readmit,
    },
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    state: u8,
    admission: u8,
    on_loopback: bool,
    listener_port: u16,
    allow: Option<(i8, u32)>,
    network: Option<(u8, [(u8, u16); 2])>,
    bytes: &'a [u8],
}

/// Tables that give every endpoint and address the same answer: the friendliest that could be.
struct Same {
    allow: Option<AllowEntry>,
    network: Option<Network>,
    is_nodes: bool,
}

const NOW: u32 = 1_000;
const NOW_NS: u64 = (NOW as u64) << 28;

impl Tables for Same {
    fn allow(&self, _: &Endpoint) -> Option<AllowEntry> {
        self.allow
    }

    fn network(&self, _: &Address) -> Option<&Network> {
        self.network.as_ref()
    }

    fn is_nodes(&self, _: &Address) -> bool {
        self.is_nodes
    }

    fn now_ns(&self) -> u64 {
        NOW_NS
    }
}

fuzz_target!(|input: Input<'_>| {
    let node = if input.admission & 0x40 != 0 { flags::ANSWERS_NODE } else { 0 };
    let state = PodState {
        generation: 1,
        flags: u32::from(input.state) | node,
        listener_port: input.listener_port,
        ..PodState::default()
    };
    let tables = Same {
        allow: input.allow.map(|(life, rule)| AllowEntry {
            expires: NOW.saturating_add_signed(life.into()),
            rule,
        }),
        network: input.network.map(network),
        is_nodes: input.admission & 0x80 != 0,
    };
    let admission = match input.admission % 4 {
        0 => Admission::None,
        1 => Admission::Current,
        2 => Admission::Inbound,
        _ => Admission::Kernel,
    };
    for packet in [ipv4(input.bytes), ipv6(input.bytes)] {
        let verdict = judge_packet(&state, &packet, input.on_loopback, admission, &tables);
        check(&state, &packet, input.on_loopback, admission, &tables, verdict);
        check_connect(&state, &packet.destination, &tables);
        check_wire(&state, &packet, &tables);
    }
});

fn network((bits, ports): (u8, [(u8, u16); 2])) -> Network {
    let mut network = Network { flags: u32::from(bits), count: 2, ..Network::default() };
    for (slot, (protocol, port)) in network.ports.iter_mut().zip(ports) {
        *slot = NetworkPort { port, protocol, padding: 0, rule: 7 };
    }
    network
}

fn load<const WORDS: usize>(bytes: &[u8], offset: u32) -> Option<[u32; WORDS]> {
    let bytes = bytes.get(offset as usize..)?.get(..WORDS * 4)?;
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    Some(words)
}

fn ipv4(bytes: &[u8]) -> Packet {
    let Some(words) = load::<IPV4_WORDS>(bytes, 0) else { return Packet::UNPARSABLE };
    let packet = parse_ipv4(&words, 0);
    let has_options = bytes[0] != 0x45;
    let is_fragment = bytes[6] & 0x3f != 0 || bytes[7] != 0;
    let has_ports = !has_options && !is_fragment && matches!(bytes[9], 6 | 17);
    assert_eq!(packet.shape == Shape::Transport, has_ports, "{packet:?}");
    if has_ports {
        assert_eq!(packet.destination.port.to_be_bytes(), bytes[22..24]);
    }
    assert_eq!(packet.destination.address.octets()[12..], bytes[16..20]);
    packet
}

fn ipv6(bytes: &[u8]) -> Packet {
    let Some(words) = load::<IPV6_WORDS>(bytes, 0) else { return Packet::UNPARSABLE };
    let mut loaded = Vec::new();
    let packet = parse_ipv6(&words, 0, |offset| {
        loaded.push(offset);
        load(bytes, offset)
    });
    assert!(loaded.len() <= MAX_EXTENSIONS + 1, "{loaded:?}");
    assert!(loaded.is_sorted_by(|a, b| a < b), "{loaded:?}");
    assert_eq!(packet.destination.address.octets()[..], bytes[24..40]);
    if packet.shape == Shape::Transport {
        assert_eq!(bytes[0] >> 4, 6);
        assert!(![43, 44].contains(&bytes[6]), "{packet:?}");
        // Every header but the last is one that may be skipped, and the last one has the ports.
        let upper = loaded.last().map_or(40, |offset| *offset as usize);
        assert_eq!(packet.destination.port.to_be_bytes(), bytes[upper + 2..upper + 4]);
        let between = loaded.len().saturating_sub(1);
        for offset in loaded.iter().take(between) {
            assert!(![43, 44].contains(&bytes[*offset as usize]), "{packet:?}");
        }
    }
    packet
}

fn passes(verdict: Verdict) -> bool {
    !matches!(verdict.ruling, Ruling::Refused | Ruling::HardBlocked)
}

fn ip(address: Address) -> IpAddr {
    IpAddr::from(address.octets()).to_canonical()
}

fn is_own(tables: &Same) -> bool {
    tables.network.is_some_and(|network| network.flags & network_flags::OWN != 0)
}

fn is_hard_blocked(state: &PodState, to: &Endpoint) -> bool {
    let listens = to.port == state.listener_port
        && [state.listener_v4, state.listener_v6].contains(&to.address);
    (state.flags & flags::BLOCK_METADATA != 0 && to.address.is_metadata())
        || (to.port == 53 && !listens)
        || (to.port == 853 && state.flags & flags::BLOCK_DOT != 0)
}

/// The rule that the tables have for the endpoint.
fn rule(tables: &Same, to: &Endpoint) -> Option<u32> {
    let alive = tables.allow.filter(|entry| entry.expires > NOW).map(|entry| entry.rule);
    alive.or_else(|| tables.network.as_ref()?.rule_for(to))
}

fn check(
    state: &PodState,
    packet: &Packet,
    on_loopback: bool,
    admission: Admission,
    tables: &Same,
    verdict: Verdict,
) {
    let to = &packet.destination;
    let own_netns = state.flags & flags::OWN_NETNS != 0;
    let is_local = on_loopback && (own_netns || ip(to.address).is_loopback() || is_own(tables));
    if is_local {
        assert_eq!(verdict.ruling, Ruling::Local, "{packet:?}");
        return;
    }
    if verdict.ruling == Ruling::Local {
        assert!(own_netns && is_own(tables) && !is_hard_blocked(state, to), "{packet:?}");
        assert!(matches!(packet.shape, Shape::Transport | Shape::Echo), "{packet:?}");
        return;
    }
    let hard = is_hard_blocked(state, to);
    assert_eq!(verdict.ruling == Ruling::HardBlocked, hard, "{packet:?}");
    if packet.shape == Shape::Unparsable {
        assert!(!passes(verdict), "{packet:?}");
    }
    match verdict.ruling {
        Ruling::Admitted => assert_eq!(admission, Admission::Current),
        Ruling::Allowed => {
            assert!(matches!(packet.shape, Shape::Transport | Shape::Echo), "{packet:?}");
            assert_eq!(Some(verdict.rule), rule(tables, to));
        }
        Ruling::Control => assert!(matches!(admission, Admission::Kernel | Admission::Inbound)),
        Ruling::Refused if matches!(packet.shape, Shape::Transport | Shape::Echo) => {
            assert_eq!(rule(tables, to), None);
            assert_ne!(admission, Admission::Current);
        }
        Ruling::Local | Ruling::Refused | Ruling::HardBlocked => {}
    }
}

fn check_connect(state: &PodState, to: &Endpoint, tables: &Same) {
    let verdict = judge_connect(state, to, tables);
    let is_local =
        ip(to.address).is_unspecified() || ip(to.address).is_loopback() || is_own(tables);
    let hard = is_hard_blocked(state, to);
    assert_eq!(verdict.ruling == Ruling::Local, is_local, "{to:?}");
    assert_eq!(verdict.ruling == Ruling::HardBlocked, hard && !is_local, "{to:?}");
    if !is_local && !hard {
        assert_eq!(passes(verdict), rule(tables, to).is_some(), "{to:?}");
    }
    if hard {
        assert_eq!(readmit(state, to, tables), None, "{to:?}");
    }
}

/// On the wire nothing is local, and nothing passes but by a rule, as the network's own working, or as an
/// answer to who may connect.
fn check_wire(state: &PodState, packet: &Packet, tables: &Same) {
    let to = &packet.destination;
    for passage in [Passage::Stranger, Passage::Reply] {
        let verdict = judge_wire(state, packet, passage, || None, tables);
        assert_ne!(verdict.ruling, Ruling::Local, "{packet:?}");
        assert_eq!(verdict.ruling == Ruling::HardBlocked, is_hard_blocked(state, to), "{packet:?}");
        match verdict.ruling {
            Ruling::Allowed => assert_eq!(Some(verdict.rule), rule(tables, to)),
            Ruling::Control if packet.shape == Shape::LinkControl => {
                assert!(to.address.is_v6_link_scope(), "{packet:?}");
            }
            Ruling::Control if packet.shape == Shape::Neighbour => {
                // Every network of these tables has ports.
                let is_known = tables.is_nodes || tables.network.is_some();
                assert!(is_known || to.address.is_v6_link_scope(), "{packet:?}");
            }
            Ruling::Control => {
                let inbound = tables.network.is_some_and(|n| n.flags & network_flags::INBOUND != 0);
                let by_node = tables.is_nodes && state.flags & flags::ANSWERS_NODE != 0;
                assert!(passage == Passage::Reply && (inbound || by_node), "{packet:?}");
            }
            Ruling::Admitted => panic!("{packet:?}"),
            Ruling::Local | Ruling::Refused | Ruling::HardBlocked => {}
        }
    }
}
