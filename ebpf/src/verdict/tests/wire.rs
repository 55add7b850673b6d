//! The second layer's verdict, and what a network namespace of its own changes for the first.

use super::{
    ALLOWED, ALLOWED_V6, favouring, own_netns,
    world::{ICMP, TCP, UDP, World, address, endpoint, network, packet},
};
use crate::{
    address::Endpoint,
    packet::Shape,
    pod::{flags, network_flags},
    reason::Reason,
    verdict::{Passage, Ruling, Verdict, judge_wire},
};

fn wired(world: &World, to: Endpoint, shape: Shape, passage: Passage) -> Verdict {
    judge_wire(&world.state, &packet(to, shape), passage, || None, world)
}

#[test]
fn nothing_is_local_on_the_wire() {
    let world = own_netns();
    for ip in ["172.17.0.1", "127.0.0.1", "::1"] {
        let judged = wired(&world, endpoint(ip, TCP, 80), Shape::Transport, Passage::Stranger);
        assert_eq!(judged, Verdict::refused(Reason::DirectIpNoDns), "{ip}");
    }
}

#[test]
fn hard_blocks_lead_on_the_wire_too() {
    for passage in [Passage::Stranger, Passage::Admitted, Passage::Known, Passage::Reply] {
        let to = endpoint("169.254.169.254", TCP, 80);
        let judged = wired(&favouring(to), to, Shape::Transport, passage);
        assert_eq!(judged, Verdict::hard(Reason::MetadataService), "{passage:?}");
        let to = endpoint("192.0.2.53", UDP, 53);
        let judged = wired(&favouring(to), to, Shape::Transport, passage);
        assert_eq!(judged, Verdict::hard(Reason::DnsBypass), "{passage:?}");
    }
}

#[test]
fn an_answer_passes_on_the_wire_only_to_who_may_connect() {
    let mut world = World::closed();
    world.networks.push((address("10.0.0.1"), 128, network(network_flags::INBOUND, &[])));
    let node = endpoint("10.0.0.1", TCP, 40000);
    let control = Verdict::pass(Ruling::Control);
    assert_eq!(wired(&world, node, Shape::Transport, Passage::Reply), control);
    let refused = Verdict::refused(Reason::DirectIpNoDns);
    assert_eq!(wired(&world, node, Shape::Transport, Passage::Stranger), refused);
    let other = endpoint("10.0.0.2", TCP, 40000);
    assert_eq!(wired(&world, other, Shape::Transport, Passage::Reply), refused);
    // The node may where the profile says so.
    world.node.push(address("10.0.0.2"));
    assert_eq!(wired(&world, other, Shape::Transport, Passage::Reply), refused);
    world.state.flags |= flags::ANSWERS_NODE;
    assert_eq!(wired(&world, other, Shape::Transport, Passage::Reply), control);
    assert_eq!(wired(&world, other, Shape::Transport, Passage::Stranger), refused);
}

#[test]
fn a_neighbour_is_answered_at_its_global_address_only_if_the_pod_may_talk_to_it() {
    let mut world = World::closed().answering("2001:db8:1::", 64);
    world = world.trusting("2001:db8:3::", 64, &[(TCP, 443, 1)]);
    world.node.push(address("2001:db8::1"));
    let judged = |ip| wired(&world, endpoint(ip, ICMP, 0), Shape::Neighbour, Passage::Stranger);
    for ip in ["fe80::1", "ff02::1:ff00:1", "2001:db8::1", "2001:db8:1::7", "2001:db8:3::7"] {
        assert_eq!(judged(ip), Verdict::pass(Ruling::Control), "{ip}");
    }
    let refused = Verdict::refused(Reason::ProtocolNotAllowed);
    for ip in [ALLOWED_V6, "2001:db8::2", "2001:db8:2::7"] {
        assert_eq!(judged(ip), refused, "{ip}");
    }
    // Nothing else of the link's is for such an address.
    for ip in ["2001:db8::1", "2001:db8:1::7", "2001:db8:3::7"] {
        let to = endpoint(ip, ICMP, 0);
        assert_eq!(wired(&world, to, Shape::LinkControl, Passage::Stranger), refused, "{ip}");
    }
}

#[test]
fn fragments_pass_on_the_wire_only_with_their_flow() {
    let to = endpoint(ALLOWED, UDP, 443);
    let world = favouring(to);
    let refused = Verdict::refused(Reason::Unparsable);
    assert_eq!(wired(&world, to, Shape::Fragment, Passage::Stranger), refused);
    let admitted = Verdict::pass(Ruling::Admitted);
    assert_eq!(wired(&world, to, Shape::Fragment, Passage::Admitted), admitted);
}

#[test]
fn path_mtu_messages_pass_on_the_wire_to_an_allowed_sender_of_what_they_quote() {
    let sender = endpoint(ALLOWED, TCP, 443);
    let world = World::closed().allowing(sender, u32::MAX, 1);
    let message = packet(endpoint(ALLOWED, ICMP, 0), Shape::PathMtu);
    let judge = |quoted| judge_wire(&world.state, &message, Passage::Stranger, || quoted, &world);
    assert_eq!(judge(Some(sender)), Verdict::pass(Ruling::Control));
    let refused = Verdict::refused(Reason::ProtocolNotAllowed);
    assert_eq!(judge(None), refused);
    assert_eq!(judge(Some(endpoint(ALLOWED, TCP, 80))), refused);
    let elsewhere = packet(endpoint("192.0.2.8", ICMP, 0), Shape::PathMtu);
    let judged = judge_wire(&world.state, &elsewhere, Passage::Stranger, || Some(sender), &world);
    assert_eq!(judged, refused);
}
