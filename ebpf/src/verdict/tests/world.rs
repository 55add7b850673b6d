//! A pod for tests: its state and tables, held the simplest way.

extern crate std;

use core::net::IpAddr;
use std::{collections::HashMap, vec::Vec};

use crate::{
    address::{Address, Endpoint},
    packet::{Packet, Shape},
    pod::{AllowEntry, Network, NetworkPort, PORTS_PER_NETWORK, PodState, flags, network_flags},
    verdict::Tables,
};

pub(super) const NOW: u32 = 4;
pub(super) const NOW_NS: u64 = (NOW as u64) << 28;
pub(super) const LISTENER_PORT: u16 = 15353;
pub(super) const LISTENER_V4: &str = "127.0.0.1";
pub(super) const LISTENER_V6: &str = "::1";

/// The two protocols of most tests.
pub(super) use crate::address::protocol::{ICMP, TCP, UDP};

/// Accepts `192.0.2.1` and IPv6 text.
pub(super) fn address(ip: &str) -> Address {
    Address::from(ip.parse::<IpAddr>().unwrap())
}

pub(super) fn endpoint(ip: &str, protocol: u8, port: u16) -> Endpoint {
    Endpoint::new(address(ip), protocol, port)
}

pub(super) fn packet(destination: Endpoint, shape: Shape) -> Packet {
    let source = Endpoint::new(address("198.51.100.1"), destination.protocol, 40000);
    Packet { source, shape, destination }
}

/// A pod's state and tables. Networks are scanned, not searched.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) state: PodState,
    pub(super) allow: HashMap<Endpoint, AllowEntry>,
    /// Address, prefix length of its 16-byte form, and what is told of it.
    pub(super) networks: Vec<(Address, u32, Network)>,
    /// The node's addresses.
    pub(super) node: Vec<Address>,
    pub(super) now_ns: u64,
}

impl World {
    /// A pod with hard blocks and a listener, and nothing allowed.
    pub(super) fn closed() -> Self {
        let state = PodState {
            generation: 1,
            flags: flags::READY | flags::BLOCK_METADATA | flags::BLOCK_DOT,
            listener_port: LISTENER_PORT,
            listener_v4: address(LISTENER_V4),
            listener_v6: address(LISTENER_V6),
            ..PodState::default()
        };
        Self {
            state,
            allow: HashMap::new(),
            networks: Vec::new(),
            node: Vec::new(),
            now_ns: NOW_NS,
        }
    }

    pub(super) fn allowing(mut self, endpoint: Endpoint, expires: u32, rule: u32) -> Self {
        self.allow.insert(endpoint, AllowEntry { expires, rule });
        self
    }

    /// Trusts a network on these ports; `bits` counts as IPv4's for an IPv4 address.
    pub(super) fn trusting(mut self, ip: &str, bits: u32, ports: &[(u8, u16, u32)]) -> Self {
        self.networks.push((address(ip), in_16_bytes(ip, bits), network(0, ports)));
        self
    }

    pub(super) fn owning(mut self, ip: &str) -> Self {
        self.networks.push((address(ip), 128, network(network_flags::OWN, &[])));
        self
    }

    pub(super) fn answering(mut self, ip: &str, bits: u32) -> Self {
        self.networks.push((
            address(ip),
            in_16_bytes(ip, bits),
            network(network_flags::INBOUND, &[]),
        ));
        self
    }
}

fn in_16_bytes(ip: &str, bits: u32) -> u32 {
    match ip.parse().unwrap() {
        IpAddr::V4(_) => bits + 96,
        IpAddr::V6(_) => bits,
    }
}

pub(super) fn network(flags: u32, ports: &[(u8, u16, u32)]) -> Network {
    let mut network =
        Network { flags, count: u32::try_from(ports.len()).unwrap(), ..Network::default() };
    assert!(ports.len() <= PORTS_PER_NETWORK);
    for (slot, (protocol, port, rule)) in network.ports.iter_mut().zip(ports) {
        *slot = NetworkPort { port: *port, protocol: *protocol, padding: 0, rule: *rule };
    }
    network
}

impl Tables for World {
    fn allow(&self, endpoint: &Endpoint) -> Option<AllowEntry> {
        self.allow.get(endpoint).copied()
    }

    fn network(&self, address: &Address) -> Option<&Network> {
        let number = u128::from_be_bytes(address.octets());
        self.networks
            .iter()
            .filter(|(net, bits, _)| {
                let ignored = 128 - bits;
                let net = u128::from_be_bytes(net.octets());
                ignored == 128 || net >> ignored == number >> ignored
            })
            .max_by_key(|(_, bits, _)| *bits)
            .map(|(_, _, network)| network)
    }

    fn is_nodes(&self, address: &Address) -> bool {
        self.node.contains(address)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}
