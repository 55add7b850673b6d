//! Puts a profile into force, and another in its place, without an instant of open egress.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Instant,
};

use ipnet::IpNet;
use weir_ebpf::{
    address::{Endpoint, protocol},
    pod::{Network, NetworkPort, PodState, flags, network_flags},
};

use super::{EnforcedPod, PodError, Reach, Surroundings, lock, rules};
use crate::{
    datapath::{
        DatapathError,
        slot::{NetworkEntry, address},
    },
    policy::{Inbound, Mode, Port, Profile, Protocol, RuleIndex},
    resolver::Admission,
};

impl EnforcedPod {
    /// Puts the current profile into force: from here on the pod is open as far as the profile says.
    ///
    /// # Errors
    ///
    /// [`PodError`]; the pod stays as it was, which at first is closed.
    pub fn enforce(&self, surroundings: Surroundings) -> Result<(), PodError> {
        // Here alone, where there is news of them: another profile tells nothing of the node, and what its pod heard last
        // may be older than what all pods have.
        self.datapath.set_node_addresses(&surroundings.node)?;
        lock(&self.state).surroundings = surroundings;
        self.replace(&self.current_profile())
    }

    /// Says that every layer that the pod is to have is in place: from the next [`Self::enforce`] on the
    /// barrier is told so, and the sentinel is answered.
    pub fn prove(&self) {
        lock(&self.state).proven = true;
    }

    /// Replaces the profile. What the new one does not allow is revoked at once, open sockets
    /// included; what it does allow goes on, also where the answer's lifetime is over.
    ///
    /// # Errors
    ///
    /// [`PodError`]; the kernel then holds the old policy, less what was already revoked.
    pub fn replace(&self, profile: &Arc<Profile>) -> Result<(), PodError> {
        let mut state = lock(&self.state);
        let generation = self.datapath.next_generation();
        let networks = kernel_networks(profile, generation, &state.surroundings)?;
        state.history.remember(generation, Arc::clone(profile.provenance()));
        state.applied = false;
        // From here on an answer that was decided under the old profile is not admitted any more.
        self.profile.store(Arc::clone(profile));
        let bank = self.datapath.stage_networks(&self.slot, &networks)?;
        let mut kept = Vec::new();
        let revoked = state.table.retain(|endpoint, entry| {
            let Some(rule) = rule_of(profile, endpoint, entry) else { return false };
            entry.rule = rules::number(generation, rule);
            kept.push((*endpoint, entry.for_kernel()));
            true
        });
        self.slot.revoke(revoked)?;
        self.slot.allow(kept)?;
        let credwatch = &profile.processes().credwatch;
        if credwatch.is_on() {
            self.datapath.watch_paths(&self.slot, &credwatch.for_kernel())?;
        }
        self.datapath
            .set_state(&self.slot, &self.pod_state(profile, generation, bank, state.proven))?;
        state.generation = generation;
        state.applied = true;
        if let Some(journal) = &self.journal {
            journal.profile(generation, profile.digest());
        }
        Ok(())
    }

    /// Gives the pod a profile that may be the one it has. One that says the same, and only comes from another bundle,
    /// changes nothing in the kernel: no connect is decided anew for it.
    ///
    /// # Errors
    ///
    /// As [`Self::replace`].
    pub fn assign(&self, profile: &Arc<Profile>) -> Result<(), PodError> {
        let mut state = lock(&self.state);
        if !state.applied || !self.profile.load().is_same(profile) {
            drop(state);
            return self.replace(profile);
        }
        let generation = state.generation;
        state.history.remember(generation, Arc::clone(profile.provenance()));
        self.profile.store(Arc::clone(profile));
        Ok(())
    }

    fn pod_state(&self, profile: &Profile, generation: u32, bank: u32, proven: bool) -> PodState {
        let audit = if profile.mode() == Mode::Audit { flags::AUDIT } else { 0 };
        let metadata = if self.hard_blocks.metadata { flags::BLOCK_METADATA } else { 0 };
        let dot = if self.hard_blocks.dot { flags::BLOCK_DOT } else { 0 };
        let place = if self.listener.reach == Reach::Pod { flags::OWN_NETNS } else { 0 };
        let proven = if proven { flags::PROVEN } else { 0 };
        let processes = profile.processes();
        let leave = if processes.docker_in_docker { flags::MAY_LEAVE } else { 0 };
        let watch = if processes.credwatch.is_on() { flags::WATCHES_FILES } else { 0 };
        let block = if processes.credwatch.blocks() { flags::BLOCKS_FILES } else { 0 };
        let processes_flags = leave | watch | block;
        let node = if answers_node(profile) { flags::ANSWERS_NODE } else { 0 };
        let listener_v4 = address(self.listener.v4.into());
        PodState {
            generation,
            flags: flags::READY | metadata | dot | audit | place | proven | processes_flags | node,
            bank,
            listener_port: self.listener.port,
            padding: 0,
            listener_v4,
            listener_v6: self.listener.v6.map_or(listener_v4, |v6| address(v6.into())),
            refusing_rule: rules::number(generation, RuleIndex::DEFAULT_DENY),
            families: processes.families.for_kernel(),
        }
    }
}

/// The rule by which a profile allows an entry that an older one allowed.
pub(super) fn rule_of(
    profile: &Arc<Profile>,
    endpoint: &Endpoint,
    entry: &super::table::Allowed,
) -> Option<RuleIndex> {
    let admission = Admission {
        profile,
        name: &entry.name,
        addresses: &[entry.address],
        expires: Instant::now(),
    };
    admission
        .entries()
        .find(|(address, port, _)| endpoint_of(*address, *port) == *endpoint)
        .map(|(_, _, rule)| rule)
}

/// The kernel's key of an address and port.
pub(super) fn endpoint_of(ip: IpAddr, port: Port) -> Endpoint {
    Endpoint::new(address(ip), protocol_number(port.protocol), port.number)
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
        Protocol::Icmp => protocol::ICMP,
    }
}

/// Whether the node may connect to the pod.
fn answers_node(profile: &Profile) -> bool {
    profile.inbound().iter().any(|inbound| matches!(inbound, Inbound::Node))
}

/// All networks that the kernel is to know: the profile's, the pod's own addresses, and the sources
/// that may be answered. One longest-prefix match has to tell all of an address, so each prefix also
/// carries what holds for the prefixes that cover it.
fn kernel_networks(
    profile: &Profile,
    generation: u32,
    surroundings: &Surroundings,
) -> Result<Vec<NetworkEntry>, PodError> {
    let mut entries: Vec<NetworkEntry> = Vec::new();
    for granted in profile.networks_for_kernel() {
        let ports = granted.ports.iter().map(|(port, rule)| NetworkPort {
            port: port.number,
            protocol: protocol_number(port.protocol),
            padding: 0,
            rule: rules::number(generation, *rule),
        });
        let mut network = Network::default();
        let mut count = 0_u32;
        let mut slots = network.ports.iter_mut();
        for port in ports {
            let Some(slot) = slots.next() else {
                let error = DatapathError::TooManyPorts { ports: granted.ports.len() };
                return Err(PodError::Datapath(error));
            };
            *slot = port;
            count += 1;
        }
        network.count = count;
        entries.push(NetworkEntry { net: granted.net, network });
    }
    for net in &surroundings.own {
        add_flag(&mut entries, *net, network_flags::OWN);
    }
    for inbound in profile.inbound() {
        match inbound {
            // Its addresses are kept once for all pods.
            Inbound::Node => {}
            Inbound::Network(net) => add_flag(&mut entries, *net, network_flags::INBOUND),
        }
    }
    Ok(entries)
}

/// Marks a network, and every more special one below it.
fn add_flag(entries: &mut Vec<NetworkEntry>, net: IpNet, flag: u32) {
    let net = canonical(net);
    if !entries.iter().any(|entry| entry.net == net) {
        let inherited = entries
            .iter()
            .filter(|entry| entry.net.contains(&net))
            .max_by_key(|entry| entry.net.prefix_len())
            .map_or_else(Network::default, |entry| entry.network);
        entries.push(NetworkEntry { net, network: inherited });
    }
    for entry in entries.iter_mut().filter(|entry| net.contains(&entry.net)) {
        entry.network.flags |= flag;
    }
}

fn canonical(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.prefix_len() == 128 => IpNet::from(Ipv6Addr::to_canonical(&v6.addr())),
        other => other.trunc(),
    }
}

#[cfg(test)]
mod tests;
