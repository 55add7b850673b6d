//! The order of the egress verdict once more, as the design page lists it: standard addresses, one
//! question after the other, no short cuts.

extern crate std;

use core::net::{IpAddr, Ipv6Addr};

use super::world::{TCP, World};
use crate::{
    address::{Address, Endpoint},
    packet::{Packet, Shape},
    pod::{flags, network_flags},
    reason::Reason,
    verdict::{Admission, Ruling, Tables as _},
};

const METADATA: [&str; 9] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
];

/// The ruling, with the reason of a refusal or the rule that allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) ruling: Ruling,
    pub(super) reason: Option<Reason>,
    pub(super) rule: Option<u32>,
}

const fn pass(ruling: Ruling) -> Expected {
    Expected { ruling, reason: None, rule: None }
}

const fn refuse(ruling: Ruling, reason: Reason) -> Expected {
    Expected { ruling, reason: Some(reason), rule: None }
}

fn ip(address: Address) -> IpAddr {
    IpAddr::from(Ipv6Addr::from(address.octets())).to_canonical()
}

pub(super) fn packet(
    world: &World,
    packet: &Packet,
    on_loopback: bool,
    admission: Admission,
) -> Expected {
    let to = packet.destination;
    let readable = packet.shape != Shape::Unparsable;
    let own_netns = world.state.flags & flags::OWN_NETNS != 0;
    if on_loopback && (own_netns || is_local(world, to.address)) {
        return pass(Ruling::Local);
    }
    if let Some(reason) = hard_block(world, to) {
        return refuse(Ruling::HardBlocked, reason);
    }
    if readable && admission == Admission::Current {
        return pass(Ruling::Admitted);
    }
    let from_kernel = admission == Admission::Kernel;
    match packet.shape {
        Shape::Transport | Shape::Echo => {
            let answered = answered(world, to.address);
            if to.protocol == TCP && admission == Admission::Inbound && answered {
                return pass(Ruling::Control);
            }
            let judged = by_policy(world, to);
            let inner = own_netns && is_own(world, to.address);
            if judged.ruling == Ruling::Refused && inner { pass(Ruling::Local) } else { judged }
        }
        Shape::LinkControl if from_kernel && to.address.is_v6_link_scope() => pass(Ruling::Control),
        Shape::Neighbour if from_kernel && neighbour(world, to.address) => pass(Ruling::Control),
        Shape::LinkControl | Shape::Neighbour
            if from_kernel && own_netns && is_own(world, to.address) =>
        {
            pass(Ruling::Control)
        }
        Shape::PathMtu if from_kernel => pass(Ruling::Control),
        Shape::Unparsable | Shape::Fragment => refuse(Ruling::Refused, Reason::Unparsable),
        Shape::LinkControl | Shape::Neighbour | Shape::PathMtu | Shape::Other => {
            refuse(Ruling::Refused, Reason::ProtocolNotAllowed)
        }
    }
}

pub(super) fn connect(world: &World, to: Endpoint) -> Expected {
    if ip(to.address).is_unspecified() || is_local(world, to.address) {
        return pass(Ruling::Local);
    }
    if let Some(reason) = hard_block(world, to) {
        return refuse(Ruling::HardBlocked, reason);
    }
    by_policy(world, to)
}

fn is_local(world: &World, address: Address) -> bool {
    ip(address).is_loopback() || is_own(world, address)
}

fn is_own(world: &World, address: Address) -> bool {
    world.network(&address).is_some_and(|network| network.flags & network_flags::OWN != 0)
}

pub(super) fn hard_block(world: &World, to: Endpoint) -> Option<Reason> {
    let lifted = |flag: u32| world.state.flags & flag == 0;
    let metadata = METADATA.iter().any(|known| known.parse() == Ok(ip(to.address)));
    if metadata && !lifted(flags::BLOCK_METADATA) {
        return Some(Reason::MetadataService);
    }
    let listener = [world.state.listener_v4, world.state.listener_v6].contains(&to.address)
        && world.state.listener_port == to.port;
    match to.port {
        53 if !listener => Some(Reason::DnsBypass),
        853 if !lifted(flags::BLOCK_DOT) => Some(Reason::Dot),
        _ => None,
    }
}

fn answered(world: &World, address: Address) -> bool {
    let by_network =
        world.network(&address).is_some_and(|network| network.flags & network_flags::INBOUND != 0);
    let answers_node = world.state.flags & flags::ANSWERS_NODE != 0;
    by_network || answers_node && world.node.contains(&address)
}

fn neighbour(world: &World, address: Address) -> bool {
    let trusted = world.network(&address).is_some_and(|network| network.count > 0);
    link_scope(address) || world.node.contains(&address) || answered(world, address) || trusted
}

fn link_scope(address: Address) -> bool {
    let address = Ipv6Addr::from(address.octets());
    address.is_unicast_link_local() || address.segments()[0] == 0xff02
}

pub(super) fn rule_of_network(world: &World, to: Endpoint) -> Option<u32> {
    let listed = world.network(&to.address)?.ports.iter().take_while(|port| port.protocol != 0);
    let mut named = listed.filter(|port| (port.protocol, port.port) == (to.protocol, to.port));
    named.next().map(|port| port.rule)
}

fn by_policy(world: &World, to: Endpoint) -> Expected {
    let entry = world.allow(&to);
    let alive = entry.filter(|entry| u64::from(entry.expires) > world.now_ns >> 28);
    let network = world.network(&to.address);
    if let Some(rule) = alive.map(|entry| entry.rule).or_else(|| rule_of_network(world, to)) {
        return Expected { ruling: Ruling::Allowed, reason: None, rule: Some(rule) };
    }
    let reason = if network.is_some_and(|network| network.count > 0) {
        Reason::PortNotAllowed
    } else if entry.is_some() {
        Reason::Expired
    } else if [6, 17].contains(&to.protocol) {
        Reason::DirectIpNoDns
    } else {
        Reason::ProtocolNotAllowed
    };
    refuse(Ruling::Refused, reason)
}
