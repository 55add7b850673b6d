//! The verdict, step by step of the order that the module lists; what holds for every packet is in
//! `properties`.

mod naive;
mod properties;
mod wire;
mod world;

use self::world::{ICMP, LISTENER_PORT, NOW, TCP, UDP, World, address, endpoint, packet};
use super::*;

const ALLOWED: &str = "192.0.2.7";
const ALLOWED_V6: &str = "2001:db8::7";
const METADATA: [&str; 3] = ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"];
const ADMISSIONS: [Admission; 4] =
    [Admission::None, Admission::Current, Admission::Inbound, Admission::Kernel];

fn judged(world: &World, to: Endpoint, shape: Shape, admission: Admission) -> Verdict {
    judge_packet(&world.state, &packet(to, shape), false, admission, world)
}

/// A TCP or UDP packet on its way to a device other than loopback, of a socket nobody knows.
#[track_caller]
fn check_packet(world: &World, to: Endpoint, expected: Verdict) {
    assert_eq!(judged(world, to, Shape::Transport, Admission::None), expected, "{to:?}");
}

/// The same for the packet and for the connect before it.
#[track_caller]
fn check_both(world: &World, to: Endpoint, expected: Verdict) {
    check_packet(world, to, expected);
    assert_eq!(judge_connect(&world.state, &to, world), expected, "{to:?}");
}

/// Everything about the destination that a profile could ever say in its favour.
fn favouring(to: Endpoint) -> World {
    let mut world = World::closed().allowing(to, u32::MAX, 1);
    let ports = [(to.protocol, to.port, 1)];
    world.networks.push((to.address, 128, world::network(network_flags::INBOUND, &ports)));
    world
}

// 1. Loopback and the pod's own addresses pass.

#[test]
fn loopback_and_own_addresses_pass_on_the_loopback_device() {
    let world = World::closed().owning("10.1.2.3").owning("2001:db8::5");
    for ip in ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "10.1.2.3", "2001:db8::5"]
    {
        let to = endpoint(ip, TCP, 80);
        for admission in ADMISSIONS {
            let judged =
                judge_packet(&world.state, &packet(to, Shape::Transport), true, admission, &world);
            assert_eq!(judged, Verdict::pass(Ruling::Local), "{ip}");
        }
        assert_eq!(judge_connect(&world.state, &to, &world), Verdict::pass(Ruling::Local), "{ip}");
    }
}

#[test]
fn loopback_addresses_on_another_device_are_strangers() {
    let world = World::closed().owning("10.1.2.3");
    for ip in ["127.0.0.1", "::1", "10.1.2.3"] {
        check_packet(&world, endpoint(ip, TCP, 80), Verdict::refused(Reason::DirectIpNoDns));
        check_packet(&world, endpoint(ip, UDP, 53), Verdict::hard(Reason::DnsBypass));
    }
}

#[test]
fn other_addresses_on_the_loopback_device_are_judged() {
    let world = World::closed();
    for ip in ["192.0.2.7", "2001:db8::7", "10.1.2.3", "::127.0.0.1"] {
        let packet = packet(endpoint(ip, TCP, 80), Shape::Transport);
        let judged = judge_packet(&world.state, &packet, true, Admission::None, &world);
        assert_eq!(judged, Verdict::refused(Reason::DirectIpNoDns), "{ip}");
    }
}

#[test]
fn a_connect_to_no_address_is_one_to_this_machine() {
    let world = World::closed();
    for ip in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
        let to = endpoint(ip, TCP, 80);
        assert_eq!(judge_connect(&world.state, &to, &world), Verdict::pass(Ruling::Local));
        check_packet(&world, to, Verdict::refused(Reason::DirectIpNoDns));
    }
}

// With a network namespace of its own.

fn own_netns() -> World {
    let mut world = World::closed().owning("172.17.0.1");
    world.state.flags |= flags::OWN_NETNS;
    world
}

#[test]
fn all_that_stays_on_the_loopback_device_of_an_own_namespace_passes() {
    let world = own_netns();
    for ip in ["192.0.2.7", "169.254.169.254", "127.0.0.11"] {
        let packet = packet(endpoint(ip, UDP, 53), Shape::Transport);
        let judged = judge_packet(&world.state, &packet, true, Admission::None, &world);
        assert_eq!(judged, Verdict::pass(Ruling::Local), "{ip}");
    }
}

#[test]
fn inner_networks_of_an_own_namespace_pass_but_for_hard_blocks() {
    let world = own_netns();
    check_both(&world, endpoint("172.17.0.1", TCP, 80), Verdict::pass(Ruling::Local));
    check_packet(&world, endpoint("172.17.0.1", UDP, 53), Verdict::hard(Reason::DnsBypass));
    check_packet(&world, endpoint("172.17.0.2", TCP, 80), Verdict::refused(Reason::DirectIpNoDns));
}

// 2. Hard blocks, ahead of any allow entry, network or admission.

#[track_caller]
fn check_hard_blocked(to: Endpoint, reason: Reason) {
    let world = favouring(to);
    for admission in ADMISSIONS {
        let verdict = judged(&world, to, Shape::Transport, admission);
        assert_eq!(verdict, Verdict::hard(reason), "{to:?} {admission:?}");
    }
    assert_eq!(judge_connect(&world.state, &to, &world), Verdict::hard(reason), "{to:?}");
    assert_eq!(readmit(&world.state, &to, &world), None, "{to:?}");
}

#[test]
fn metadata_services_are_hard_blocked_on_every_port() {
    for ip in METADATA {
        for (number, port) in [(TCP, 80), (TCP, 443), (UDP, 80), (UDP, 53), (TCP, 1338), (ICMP, 0)]
        {
            check_hard_blocked(endpoint(ip, number, port), Reason::MetadataService);
        }
    }
}

#[test]
fn metadata_services_are_hard_blocked_in_every_shape() {
    for ip in METADATA {
        let to = endpoint(ip, ICMP, 0);
        for shape in [
            Shape::Echo,
            Shape::LinkControl,
            Shape::Neighbour,
            Shape::PathMtu,
            Shape::Fragment,
            Shape::Other,
            Shape::Unparsable,
        ] {
            for admission in ADMISSIONS {
                let verdict = judged(&favouring(to), to, shape, admission);
                assert_eq!(verdict, Verdict::hard(Reason::MetadataService), "{shape:?}");
            }
        }
    }
}

#[test]
fn encrypted_dns_and_foreign_name_servers_are_hard_blocked() {
    for ip in [ALLOWED, ALLOWED_V6, "10.1.2.3", "::ffff:192.0.2.7"] {
        for number in [TCP, UDP] {
            check_hard_blocked(endpoint(ip, number, 853), Reason::Dot);
            check_hard_blocked(endpoint(ip, number, 53), Reason::DnsBypass);
        }
    }
}

#[test]
fn port_53_is_open_to_the_listener_alone() {
    let (listener, other) = ("10.1.2.3", "10.1.2.4");
    let mut world = World::closed().trusting("10.0.0.0", 8, &[(UDP, 53, 3)]).trusting(
        "2001:db8::",
        32,
        &[(UDP, 53, 4)],
    );
    world.state.listener_port = 53;
    world.state.listener_v4 = address(listener);
    world.state.listener_v6 = address("2001:db8::53");
    check_both(&world, endpoint(listener, UDP, 53), Verdict::allowed(3));
    check_both(&world, endpoint("2001:db8::53", UDP, 53), Verdict::allowed(4));
    check_both(&world, endpoint(other, UDP, 53), Verdict::hard(Reason::DnsBypass));
    // A listener elsewhere opens nothing on its own address.
    world.state.listener_port = LISTENER_PORT;
    check_both(&world, endpoint(listener, UDP, 53), Verdict::hard(Reason::DnsBypass));
}

#[test]
fn the_operator_can_lift_metadata_and_dot_but_not_port_53() {
    let mut world = World::closed();
    world.state.flags &= !(flags::BLOCK_METADATA | flags::BLOCK_DOT);
    let unknown = Verdict::refused(Reason::DirectIpNoDns);
    check_both(&world, endpoint(METADATA[0], TCP, 80), unknown);
    check_both(&world, endpoint(ALLOWED, TCP, 853), unknown);
    check_both(&world, endpoint(ALLOWED, TCP, 53), Verdict::hard(Reason::DnsBypass));
    let to = endpoint(METADATA[0], TCP, 80);
    check_both(&world.allowing(to, u32::MAX, 2), to, Verdict::allowed(2));
}

// 3. A connected socket whose connect was allowed passes.

#[test]
fn an_admitted_socket_passes_whatever_the_wire_says() {
    let world = World::closed();
    let to = endpoint("198.51.100.200", TCP, 9999);
    for shape in [Shape::Transport, Shape::Fragment, Shape::Other] {
        let verdict = judged(&world, to, shape, Admission::Current);
        assert_eq!(verdict, Verdict::pass(Ruling::Admitted), "{shape:?}");
    }
}

#[test]
fn options_and_routing_headers_take_an_admission_away() {
    let to = endpoint(ALLOWED, TCP, 443);
    let verdict = judged(&favouring(to), to, Shape::Unparsable, Admission::Current);
    assert_eq!(verdict, Verdict::refused(Reason::Unparsable));
}

#[test]
fn a_socket_is_admitted_again_by_an_aged_entry_or_a_network_but_not_by_nothing() {
    let to = endpoint(ALLOWED, TCP, 443);
    let world = World::closed();
    assert_eq!(readmit(&world.state, &to, &world), None);
    let aged = World::closed().allowing(to, NOW - 1, 5);
    assert_eq!(readmit(&aged.state, &to, &aged), Some(5));
    let trusted = World::closed().trusting("192.0.2.0", 24, &[(TCP, 443, 6)]);
    assert_eq!(readmit(&trusted.state, &to, &trusted), Some(6));
    assert_eq!(readmit(&trusted.state, &endpoint(ALLOWED, TCP, 80), &trusted), None);
}

// 4. The allow map.

#[test]
fn an_entry_opens_its_address_protocol_and_port_and_no_other() {
    for ip in [ALLOWED, ALLOWED_V6] {
        let to = endpoint(ip, TCP, 443);
        let world = World::closed().allowing(to, NOW + 1, 7);
        check_both(&world, to, Verdict::allowed(7));
        let unknown = Verdict::refused(Reason::DirectIpNoDns);
        check_both(&world, endpoint(ip, TCP, 444), unknown);
        check_both(&world, endpoint(ip, UDP, 443), unknown);
        check_both(&world, endpoint(ip, 132, 443), Verdict::refused(Reason::ProtocolNotAllowed));
    }
    let world = World::closed().allowing(endpoint(ALLOWED, TCP, 443), NOW + 1, 7);
    for ip in ["192.0.2.6", "::192.0.2.7", "64:ff9b::192.0.2.7", "2002:c000:207::"] {
        check_both(&world, endpoint(ip, TCP, 443), Verdict::refused(Reason::DirectIpNoDns));
    }
}

#[test]
fn a_v4_mapped_address_meets_the_ipv4_rule() {
    let mapped = endpoint("::ffff:192.0.2.7", TCP, 443);
    let world = World::closed().allowing(endpoint(ALLOWED, TCP, 443), NOW + 1, 7);
    check_both(&world, mapped, Verdict::allowed(7));
    let world = World::closed().trusting("192.0.2.0", 24, &[(TCP, 443, 8)]);
    check_both(&world, mapped, Verdict::allowed(8));
}

#[test]
fn an_entry_ends_at_its_expiry() {
    let to = endpoint(ALLOWED, TCP, 443);
    let expired = Verdict::refused(Reason::Expired);
    for (expires, expected) in [
        (0, expired),
        (NOW - 1, expired),
        (NOW, expired),
        (NOW + 1, Verdict::allowed(7)),
        (u32::MAX, Verdict::allowed(7)),
    ] {
        check_both(&World::closed().allowing(to, expires, 7), to, expected);
    }
}

// 5. Trusted networks, by their longest prefix, with ports.

#[test]
fn a_network_opens_its_ports_and_names_the_refusal_of_others() {
    for (net, bits, ip) in [("192.0.2.0", 24, ALLOWED), ("2001:db8::", 32, ALLOWED_V6)] {
        let world = World::closed().trusting(net, bits, &[(TCP, 443, 2), (UDP, 443, 3)]);
        check_both(&world, endpoint(ip, TCP, 443), Verdict::allowed(2));
        check_both(&world, endpoint(ip, UDP, 443), Verdict::allowed(3));
        check_both(&world, endpoint(ip, TCP, 80), Verdict::refused(Reason::PortNotAllowed));
        check_both(&world, endpoint(ip, TCP, 0), Verdict::refused(Reason::PortNotAllowed));
        check_both(&world, endpoint(ip, 0, 0), Verdict::refused(Reason::PortNotAllowed));
    }
}

#[test]
fn a_network_lengthens_the_life_of_an_expired_entry() {
    let to = endpoint(ALLOWED, TCP, 443);
    let world = World::closed().allowing(to, NOW, 1).trusting("192.0.2.0", 24, &[(TCP, 443, 2)]);
    check_both(&world, to, Verdict::allowed(2));
}

#[test]
fn own_and_answered_networks_open_no_port() {
    let world = World::closed().owning("10.1.2.3").answering("10.1.0.0", 16);
    let unknown = Verdict::refused(Reason::DirectIpNoDns);
    check_packet(&world, endpoint("10.1.2.3", TCP, 443), unknown);
    check_packet(&world, endpoint("10.1.9.9", TCP, 443), unknown);
}

// 6. Deny, but for the network's own working.

#[test]
fn nothing_else_passes() {
    let world = World::closed();
    let unknown = Verdict::refused(Reason::DirectIpNoDns);
    for ip in [
        "192.0.2.7",
        "2001:db8::7",
        "169.254.1.1",
        "fe80::1",
        "ff02::fb",
        "255.255.255.255",
        "224.0.0.251",
    ] {
        check_both(&world, endpoint(ip, TCP, 443), unknown);
        check_both(&world, endpoint(ip, UDP, 5353), unknown);
        check_both(&world, endpoint(ip, 132, 0), Verdict::refused(Reason::ProtocolNotAllowed));
    }
}

#[test]
fn echo_needs_a_rule() {
    let to = endpoint(ALLOWED, ICMP, 0);
    let world = World::closed();
    let refused = Verdict::refused(Reason::ProtocolNotAllowed);
    for admission in [Admission::None, Admission::Inbound, Admission::Kernel] {
        assert_eq!(judged(&world, to, Shape::Echo, admission), refused);
    }
    let world = World::closed().allowing(to, u32::MAX, 4);
    assert_eq!(judged(&world, to, Shape::Echo, Admission::None), Verdict::allowed(4));
    let world = World::closed().trusting("192.0.2.0", 24, &[(ICMP, 0, 5)]);
    assert_eq!(judged(&world, to, Shape::Echo, Admission::None), Verdict::allowed(5));
}

#[test]
fn fragments_and_what_cannot_be_read_are_refused_whoever_is_favoured() {
    let to = endpoint(ALLOWED, UDP, 0);
    let unparsable = Verdict::refused(Reason::Unparsable);
    for admission in [Admission::None, Admission::Inbound, Admission::Kernel] {
        assert_eq!(judged(&favouring(to), to, Shape::Fragment, admission), unparsable);
        assert_eq!(judged(&favouring(to), to, Shape::Unparsable, admission), unparsable);
    }
    let unknown = judge_packet(
        &World::closed().state,
        &Packet::UNPARSABLE,
        false,
        Admission::None,
        &World::closed(),
    );
    assert_eq!(unknown, unparsable);
}

#[test]
fn neighbour_discovery_passes_from_the_kernel_and_stays_on_the_link() {
    let world = World::closed();
    let refused = Verdict::refused(Reason::ProtocolNotAllowed);
    for (ip, admission, expected) in [
        ("ff02::1:ff00:1", Admission::Kernel, Verdict::pass(Ruling::Control)),
        ("fe80::1", Admission::Kernel, Verdict::pass(Ruling::Control)),
        ("fe80::1", Admission::None, refused),
        ("fe80::1", Admission::Inbound, refused),
        ("2001:db8::7", Admission::Kernel, refused),
        ("ff05::1", Admission::Kernel, refused),
    ] {
        let to = endpoint(ip, ICMP, 0);
        for shape in [Shape::LinkControl, Shape::Neighbour] {
            assert_eq!(judged(&world, to, shape, admission), expected, "{ip} {admission:?}");
        }
    }
}

#[test]
fn path_mtu_messages_pass_from_the_kernel_alone() {
    let world = World::closed();
    for ip in [ALLOWED, ALLOWED_V6] {
        let to = endpoint(ip, ICMP, 0);
        let verdict = |admission| judged(&world, to, Shape::PathMtu, admission);
        assert_eq!(verdict(Admission::Kernel), Verdict::pass(Ruling::Control));
        // A raw socket could carry data behind the same header.
        assert_eq!(verdict(Admission::None), Verdict::refused(Reason::ProtocolNotAllowed));
    }
}

#[test]
fn replies_on_connections_that_came_in_pass_to_named_sources_only() {
    let world = World::closed().answering("10.1.0.0", 16);
    let verdict = |ip, number, admission| {
        judged(&world, endpoint(ip, number, 40000), Shape::Transport, admission)
    };
    let unknown = Verdict::refused(Reason::DirectIpNoDns);
    assert_eq!(verdict("10.1.2.3", TCP, Admission::Inbound), Verdict::pass(Ruling::Control));
    assert_eq!(verdict("10.2.2.3", TCP, Admission::Inbound), unknown);
    assert_eq!(verdict("10.1.2.3", TCP, Admission::None), unknown);
    assert_eq!(verdict("10.1.2.3", TCP, Admission::Kernel), unknown);
    // Anybody can send a datagram and call what comes back a reply.
    assert_eq!(verdict("10.1.2.3", UDP, Admission::Inbound), unknown);
}
