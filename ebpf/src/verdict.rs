//! The verdict: what may leave the pod, in the one order that every layer follows.
//!
//! Invariants:
//! - What is not allowed by a step below is refused; there is no default that passes.
//! - Hard blocks come ahead of every entry and every admission.
//! - No exemption by mark, uid or source port: a pod can copy those.

use crate::{
    address::{Address, Endpoint, protocol},
    packet::{Packet, Shape},
    pod::{AllowEntry, Network, PodState, flags, network_flags, ticks},
    reason::Reason,
};

/// The tables that a verdict reads: the pod's own allow map and networks.
pub trait Tables {
    /// The allow entry of an endpoint, whether it has expired or not.
    fn allow(&self, endpoint: &Endpoint) -> Option<AllowEntry>;
    /// The longest network of the pod's current bank that covers the address.
    fn network(&self, address: &Address) -> Option<&Network>;
    /// Whether the address is one of the node's.
    fn is_nodes(&self, address: &Address) -> bool;
    /// The monotonic clock, in nanoseconds.
    fn now_ns(&self) -> u64;
}

/// What a verdict may know of the socket that a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing is known that would let the packet pass.
    None,
    /// Its connect was allowed under the current policy generation.
    Current,
    /// It accepted a connection from outside.
    Inbound,
    /// Made by the kernel, not by a process: it has no storage.
    Kernel,
}

/// What becomes of a packet or a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Stays in the pod: no rule is needed, nothing is counted.
    Local,
    /// Passes because its socket was admitted.
    Admitted,
    /// Passes by [`Verdict::rule`].
    Allowed,
    /// Passes for the network's own working: neighbour discovery, path MTU, replies.
    Control,
    /// Refused by policy for [`Verdict::reason`]; audit mode lets it pass.
    Refused,
    /// Refused by a hard block, in audit mode too.
    HardBlocked,
}

/// How a packet or a connect was judged.
///
/// A structure and not an enum with payloads: the compiler shifts and merges those, with garbage
/// where a variant has none, and the verifier refuses ("R9 pointer arithmetic with <<= operator
/// prohibited").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of it.
    pub ruling: Ruling,
    /// Why, when it was refused; [`Reason::Unparsable`] and without meaning otherwise.
    pub reason: Reason,
    /// Number of the rule, when one allows it; else 0.
    pub rule: u32,
}

impl Verdict {
    #[inline(always)]
    const fn pass(ruling: Ruling) -> Self {
        Self { ruling, reason: Reason::Unparsable, rule: 0 }
    }

    #[inline(always)]
    const fn allowed(rule: u32) -> Self {
        Self { ruling: Ruling::Allowed, reason: Reason::Unparsable, rule }
    }

    #[inline(always)]
    const fn refused(reason: Reason) -> Self {
        Self { ruling: Ruling::Refused, reason, rule: 0 }
    }

    #[inline(always)]
    const fn hard(reason: Reason) -> Self {
        Self { ruling: Ruling::HardBlocked, reason, rule: 0 }
    }
}

/// Judges a packet that a socket of the pod sends. `on_loopback` says that it leaves by the loopback
/// device.
#[inline(always)]
pub fn judge_packet(
    pod: &PodState,
    packet: &Packet,
    on_loopback: bool,
    admission: Admission,
    tables: &impl Tables,
) -> Verdict {
    let destination = &packet.destination;
    // 1. Loopback and own addresses. The device is asked for too: bound to another device, a packet
    // to a loopback address does reach the wire.
    if on_loopback && (has_own_netns(pod) || is_local(&destination.address, tables)) {
        return Verdict::pass(Ruling::Local);
    }
    // 2. Hard blocks.
    if let Some(reason) = hard_block(pod, destination) {
        return Verdict::hard(reason);
    }
    if matches!(packet.shape, Shape::Unparsable) {
        return Verdict::refused(Reason::Unparsable);
    }
    // 3. The admitted socket.
    if matches!(admission, Admission::Current) {
        return Verdict::pass(Ruling::Admitted);
    }
    match packet.shape {
        // 4. and 5.
        Shape::Transport | Shape::Echo => {
            if matches!(admission, Admission::Inbound)
                && destination.protocol == protocol::TCP
                && may_connect(pod, &destination.address, tables)
            {
                return Verdict::pass(Ruling::Control);
            }
            judge_inside(pod, destination, tables)
        }
        // 6. What is left passes only as the network's own working, and only from the kernel's sockets:
        // a raw socket could write the same headers over data of its own.
        Shape::LinkControl | Shape::Neighbour
            if matches!(admission, Admission::Kernel)
                && (works_the_link(packet, tables)
                    || has_own_netns(pod) && is_own(&destination.address, tables)) =>
        {
            Verdict::pass(Ruling::Control)
        }
        Shape::PathMtu if matches!(admission, Admission::Kernel) => Verdict::pass(Ruling::Control),
        Shape::Fragment => Verdict::refused(Reason::Unparsable),
        _ => Verdict::refused(Reason::ProtocolNotAllowed),
    }
}

/// What the second layer may know of a packet that has left the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Nothing: its addresses alone speak for it.
    Stranger,
    /// Sent by a socket of the pod that was admitted, to the very address it is connected to.
    Admitted,
    /// Of a flow that the allow entries admitted before, under the current policy.
    Known,
    /// TCP, and not the first packet of a connection.
    Reply,
}

/// Judges a packet on the wire, outside the pod. Nothing that happens inside counts here: no loopback,
/// no address of the pod's own, no word of a socket but of the one that the packet still belongs to.
///
/// A path-MTU message is judged by what `quoted` returns, the sender of the packet that it quotes.
#[inline(always)]
pub fn judge_wire(
    pod: &PodState,
    packet: &Packet,
    passage: Passage,
    quoted: impl FnOnce() -> Option<Endpoint>,
    tables: &impl Tables,
) -> Verdict {
    let destination = &packet.destination;
    if let Some(reason) = hard_block(pod, destination) {
        return Verdict::hard(reason);
    }
    if matches!(packet.shape, Shape::Unparsable) {
        return Verdict::refused(Reason::Unparsable);
    }
    if matches!(passage, Passage::Admitted | Passage::Known) {
        return Verdict::pass(Ruling::Admitted);
    }
    match packet.shape {
        Shape::Transport | Shape::Echo => {
            // Whoever may connect to the pod learns what it answers: a packet that could only be an answer
            // tells him no more.
            if matches!(passage, Passage::Reply) && may_connect(pod, &destination.address, tables) {
                return Verdict::pass(Ruling::Control);
            }
            judge_endpoint(destination, tables)
        }
        Shape::LinkControl | Shape::Neighbour if works_the_link(packet, tables) => {
            Verdict::pass(Ruling::Control)
        }
        Shape::PathMtu => match quoted() {
            Some(sender) if sender.address == destination.address => {
                let verdict = judge_endpoint(&sender, tables);
                match verdict.ruling {
                    Ruling::Allowed => Verdict::pass(Ruling::Control),
                    _ => Verdict::refused(Reason::ProtocolNotAllowed),
                }
            }
            _ => Verdict::refused(Reason::ProtocolNotAllowed),
        },
        Shape::Fragment => Verdict::refused(Reason::Unparsable),
        _ => Verdict::refused(Reason::ProtocolNotAllowed),
    }
}

/// Judges a connect, or a send of a socket that is not connected, before any packet exists.
#[inline(always)]
pub fn judge_connect(pod: &PodState, destination: &Endpoint, tables: &impl Tables) -> Verdict {
    if destination.address.is_unspecified() || is_local(&destination.address, tables) {
        return Verdict::pass(Ruling::Local);
    }
    if let Some(reason) = hard_block(pod, destination) {
        return Verdict::hard(reason);
    }
    judge_endpoint(destination, tables)
}

/// Whether a socket admitted under an older policy is admitted under the current one. Its answer may
/// have aged meanwhile: an entry that is still in the map was not revoked.
#[inline(always)]
pub fn readmit(pod: &PodState, peer: &Endpoint, tables: &impl Tables) -> Option<u32> {
    if hard_block(pod, peer).is_some() {
        return None;
    }
    if let Some(entry) = tables.allow(peer) {
        return Some(entry.rule);
    }
    tables.network(&peer.address).and_then(|network| network.rule_for(peer))
}

/// Whether what the link needs to work may go there: to addresses that never leave it.
///
/// Who asks for a neighbour from an address of the whole internet is answered at that (RFC 4861, 7.2.4), and a router
/// would forward such an answer anywhere. So it may go to the node, and to whoever the pod may tell as much by other
/// means: to those who may connect to it, and to networks that the profile trusts.
#[inline(always)]
fn works_the_link(packet: &Packet, tables: &impl Tables) -> bool {
    let address = &packet.destination.address;
    if address.is_v6_link_scope() {
        return true;
    }
    if !matches!(packet.shape, Shape::Neighbour) {
        return false;
    }
    if tables.is_nodes(address) {
        return true;
    }
    let network = tables.network(address);
    network.is_some_and(|network| network.count != 0 || network.flags & network_flags::INBOUND != 0)
}

/// Whether connections from an address to the pod may be answered.
#[inline(always)]
pub fn may_connect(pod: &PodState, address: &Address, tables: &impl Tables) -> bool {
    if let Some(network) = tables.network(address)
        && network.flags & network_flags::INBOUND != 0
    {
        return true;
    }
    pod.flags & flags::ANSWERS_NODE != 0 && tables.is_nodes(address)
}

/// [`judge_endpoint`] for a packet that has not left the pod yet: it may be for an inner network, which
/// the second layer stands behind.
#[inline(always)]
fn judge_inside(pod: &PodState, endpoint: &Endpoint, tables: &impl Tables) -> Verdict {
    let verdict = judge_endpoint(endpoint, tables);
    if matches!(verdict.ruling, Ruling::Refused)
        && has_own_netns(pod)
        && is_own(&endpoint.address, tables)
    {
        return Verdict::pass(Ruling::Local);
    }
    verdict
}

#[inline(always)]
fn judge_endpoint(endpoint: &Endpoint, tables: &impl Tables) -> Verdict {
    let entry = tables.allow(endpoint);
    if let Some(entry) = entry
        && entry.expires > ticks(tables.now_ns())
    {
        return Verdict::allowed(entry.rule);
    }
    if let Some(network) = tables.network(&endpoint.address) {
        if let Some(rule) = network.rule_for(endpoint) {
            return Verdict::allowed(rule);
        }
        if network.count != 0 {
            return Verdict::refused(Reason::PortNotAllowed);
        }
    }
    if entry.is_some() {
        return Verdict::refused(Reason::Expired);
    }
    match endpoint.protocol {
        protocol::TCP | protocol::UDP => Verdict::refused(Reason::DirectIpNoDns),
        _ => Verdict::refused(Reason::ProtocolNotAllowed),
    }
}

#[inline(always)]
const fn has_own_netns(pod: &PodState) -> bool {
    pod.flags & flags::OWN_NETNS != 0
}

#[inline(always)]
fn is_local(address: &Address, tables: &impl Tables) -> bool {
    address.is_loopback() || is_own(address, tables)
}

#[inline(always)]
fn is_own(address: &Address, tables: &impl Tables) -> bool {
    tables.network(address).is_some_and(|network| network.flags & network_flags::OWN != 0)
}

#[inline(always)]
fn hard_block(pod: &PodState, destination: &Endpoint) -> Option<Reason> {
    if pod.flags & flags::BLOCK_METADATA != 0 && destination.address.is_metadata() {
        return Some(Reason::MetadataService);
    }
    if destination.port == 53 {
        let is_listener = destination.port == pod.listener_port
            && (destination.address == pod.listener_v4 || destination.address == pod.listener_v6);
        if !is_listener {
            return Some(Reason::DnsBypass);
        }
    }
    if destination.port == 853 && pod.flags & flags::BLOCK_DOT != 0 {
        return Some(Reason::Dot);
    }
    None
}

#[cfg(test)]
mod tests;
