//! What holds for every packet, pod and table: small pools of addresses and ports, so that everything
//! meets everything.

extern crate std;

use std::{collections::HashMap, vec::Vec};

use proptest::{collection, prelude::*, sample::select};

use super::{
    naive::{self, Expected},
    world::{LISTENER_PORT, NOW, World, address, network},
};
use crate::{
    address::{Address, Endpoint},
    packet::{Packet, Shape},
    pod::{AllowEntry, flags, network_flags},
    verdict::{Admission, Ruling, Verdict, judge_connect, judge_packet, readmit},
};

const ADDRESSES: [&str; 18] = [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "0.0.0.0",
    "::",
    "192.0.2.7",
    "192.0.2.8",
    "::192.0.2.7",
    "2001:db8::7",
    "2001:db8::8",
    "10.1.2.3",
    "169.254.169.254",
    "169.254.1.1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fe80::1",
    "ff02::1",
    "255.255.255.255",
];
const PORTS: [u16; 7] = [0, 53, 80, 443, 853, LISTENER_PORT, 65535];
const PROTOCOLS: [u8; 6] = [0, 1, 6, 17, 58, 132];
const SHAPES: [Shape; 8] = [
    Shape::Transport,
    Shape::Echo,
    Shape::LinkControl,
    Shape::Neighbour,
    Shape::PathMtu,
    Shape::Fragment,
    Shape::Other,
    Shape::Unparsable,
];
const ADMISSIONS: [Admission; 4] =
    [Admission::None, Admission::Current, Admission::Inbound, Admission::Kernel];

fn any_address() -> impl Strategy<Value = Address> {
    select(&ADDRESSES[..]).prop_map(address)
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    (any_address(), select(&PROTOCOLS[..]), select(&PORTS[..]))
        .prop_map(|(address, protocol, port)| Endpoint::new(address, protocol, port))
}

/// Any shape with any destination, also those that the parser never makes: the verdict is to be right
/// without counting on it.
fn any_packet() -> impl Strategy<Value = Packet> {
    (any_endpoint(), any_endpoint(), select(&SHAPES[..]))
        .prop_map(|(source, destination, shape)| Packet { source, shape, destination })
}

/// Packets to metadata services, or to the ports of name servers.
fn any_hard_blocked() -> impl Strategy<Value = Packet> {
    let services = ["169.254.169.254", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23"];
    let service = select(services.to_vec()).prop_map(|ip| (Some(address(ip)), None));
    let port = select(&[53_u16, 853][..]).prop_map(|port| (None, Some(port)));
    (any_packet(), prop_oneof![service, port]).prop_map(|(mut packet, (ip, port))| {
        let to = &mut packet.destination;
        to.address = ip.unwrap_or(to.address);
        to.port = port.unwrap_or(to.port);
        packet
    })
}

fn any_admission() -> impl Strategy<Value = Admission> {
    select(&ADMISSIONS[..])
}

fn any_world() -> impl Strategy<Value = World> {
    let expiry = select(&[0, NOW - 1, NOW, NOW + 1, u32::MAX][..]);
    let entry = (any_endpoint(), expiry, 0..100_u32)
        .prop_map(|(endpoint, expires, rule)| (endpoint, AllowEntry { expires, rule }));
    let port = (select(&PROTOCOLS[1..]), select(&PORTS[..]), 0..100_u32);
    let bits = select(&[0_u32, 8, 64, 96, 104, 120, 128][..]);
    let network_flags = 0..=(network_flags::OWN | network_flags::INBOUND);
    let network = (any_address(), bits, network_flags, collection::vec(port, 0..4))
        .prop_map(|(address, bits, flags, ports)| (address, bits, network(flags, &ports)));
    let entries = collection::vec(entry, 0..8).prop_map(HashMap::from_iter);
    (
        entries,
        collection::vec(network, 0..5),
        0..=(flags::READY
            | flags::AUDIT
            | flags::BLOCK_METADATA
            | flags::BLOCK_DOT
            | flags::OWN_NETNS),
        (any::<bool>(), collection::vec(any_address(), 0..3)),
        select(&[0_u16, 53, LISTENER_PORT][..]),
        any_address(),
        any_address(),
    )
        .prop_map(|(allow, networks, flags, node, listener_port, listener_v4, listener_v6)| {
            let (answers_node, node) = node;
            let mut world = World { allow, networks, node, ..World::closed() };
            world.state.flags = flags | if answers_node { flags::ANSWERS_NODE } else { 0 };
            world.state.listener_port = listener_port;
            world.state.listener_v4 = listener_v4;
            world.state.listener_v6 = listener_v6;
            world
        })
}

fn passes(verdict: Verdict) -> bool {
    !matches!(verdict.ruling, Ruling::Refused | Ruling::HardBlocked)
}

/// What of a verdict has a meaning.
fn meaning(verdict: Verdict) -> Expected {
    Expected {
        ruling: verdict.ruling,
        reason: (!passes(verdict)).then_some(verdict.reason),
        rule: (verdict.ruling == Ruling::Allowed).then_some(verdict.rule),
    }
}

fn with_everything_allowed(world: &World, endpoint: Endpoint) -> World {
    let whole = network(
        network_flags::INBOUND,
        &[(endpoint.protocol.max(1), endpoint.port, 1), (6, 53, 1), (17, 53, 1), (6, 853, 1)],
    );
    let mut world = world.clone().allowing(endpoint, u32::MAX, 1);
    world.networks.push((endpoint.address, 128, whole));
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn packets_are_judged_in_the_order_of_the_design(
        world in any_world(),
        packet in any_packet(),
        on_loopback: bool,
        admission in any_admission(),
    ) {
        let verdict = judge_packet(&world.state, &packet, on_loopback, admission, &world);
        prop_assert_eq!(meaning(verdict), naive::packet(&world, &packet, on_loopback, admission));
    }

    #[test]
    fn connects_are_judged_in_the_order_of_the_design(world in any_world(), to in any_endpoint()) {
        let verdict = judge_connect(&world.state, &to, &world);
        prop_assert_eq!(meaning(verdict), naive::connect(&world, to));
    }

    #[test]
    fn no_entry_network_or_admission_opens_what_is_hard_blocked(
        world in any_world(),
        packet in any_hard_blocked(),
        admission in any_admission(),
    ) {
        let mut world = with_everything_allowed(&world, packet.destination);
        world.state.flags |= flags::BLOCK_METADATA | flags::BLOCK_DOT;
        // Port 53 of the listener is not one.
        prop_assume!(naive::hard_block(&world, packet.destination).is_some());
        let verdict = judge_packet(&world.state, &packet, false, admission, &world);
        prop_assert_eq!(verdict.ruling, Ruling::HardBlocked);
        prop_assert_eq!(readmit(&world.state, &packet.destination, &world), None);
        let verdict = judge_connect(&world.state, &packet.destination, &world);
        prop_assert!(matches!(verdict.ruling, Ruling::HardBlocked | Ruling::Local));
    }

    #[test]
    fn with_empty_tables_nothing_but_loopback_admission_and_control_passes(
        world in any_world(),
        packet in any_packet(),
        on_loopback: bool,
        admission in any_admission(),
    ) {
        let (allow, networks, node) = (HashMap::new(), Vec::new(), Vec::new());
        let world = World { allow, networks, node, ..world };
        let verdict = judge_packet(&world.state, &packet, on_loopback, admission, &world);
        match verdict.ruling {
            Ruling::Local => {
                prop_assert!(on_loopback);
                let own_netns = world.state.flags & flags::OWN_NETNS != 0;
                prop_assert!(own_netns || packet.destination.address.is_loopback());
            }
            Ruling::Admitted => prop_assert_eq!(admission, Admission::Current),
            Ruling::Control => {
                prop_assert_eq!(admission, Admission::Kernel);
                let shapes = [Shape::LinkControl, Shape::Neighbour, Shape::PathMtu];
                prop_assert!(shapes.contains(&packet.shape));
            }
            Ruling::Allowed => prop_assert!(false, "{:?}", verdict),
            Ruling::Refused | Ruling::HardBlocked => {}
        }
    }

    #[test]
    fn audit_changes_no_verdict(
        world in any_world(),
        packet in any_packet(),
        on_loopback: bool,
        admission in any_admission(),
    ) {
        let mut audited = world.clone();
        audited.state.flags ^= flags::AUDIT;
        prop_assert_eq!(
            judge_packet(&world.state, &packet, on_loopback, admission, &world),
            judge_packet(&audited.state, &packet, on_loopback, admission, &audited)
        );
        prop_assert_eq!(
            judge_connect(&world.state, &packet.destination, &world),
            judge_connect(&audited.state, &packet.destination, &audited)
        );
    }

    #[test]
    fn the_source_changes_no_verdict(
        world in any_world(),
        packet in any_packet(),
        source in any_endpoint(),
        on_loopback: bool,
        admission in any_admission(),
    ) {
        let copied = Packet { source, ..packet };
        prop_assert_eq!(
            judge_packet(&world.state, &packet, on_loopback, admission, &world),
            judge_packet(&world.state, &copied, on_loopback, admission, &world)
        );
    }

    #[test]
    fn what_a_connect_may_reach_its_first_packet_may_too(world in any_world(), to in any_endpoint()) {
        let connect = judge_connect(&world.state, &to, &world);
        let packet = super::world::packet(to, Shape::Transport);
        let sent = judge_packet(&world.state, &packet, false, Admission::None, &world);
        if connect.ruling != Ruling::Local {
            prop_assert_eq!(connect, sent);
        }
    }

    #[test]
    fn only_what_the_policy_still_names_is_admitted_again(world in any_world(), to in any_endpoint()) {
        let entry = world.allow.get(&to).map(|entry| entry.rule);
        let readmitted = readmit(&world.state, &to, &world);
        let expected = if naive::hard_block(&world, to).is_some() {
            None
        } else {
            entry.or_else(|| naive::rule_of_network(&world, to))
        };
        prop_assert_eq!(readmitted, expected);
    }
}
