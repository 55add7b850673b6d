//! The second layer: the host side of a pod's veth, where everything arrives that leaves the pod, whoever
//! sent it and by whatever means.
//!
//! A packet that its socket still carries was judged by the first layer and counted there; what is
//! counted here is what no socket of the pod sent (inner containers, packet sockets, tunnels).

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, bpf_sock},
    macros::classifier,
    programs::TcContext,
};
use weir_ebpf::{
    address::{Endpoint, protocol},
    flow::{FlowKey, Outcome, WireFlow, WireKey},
    packet::{IPV4_WORDS, IPV6_WORDS, Packet, Shape, parse_ipv4, parse_ipv6},
    reason::Reason,
    socket::{SocketTag, flags},
    verdict::{Passage, Ruling, judge_wire, readmit},
};

use crate::{
    account::{self, Amount},
    egress::any_socket,
    headers::{self, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETHERNET_BYTES, Start},
    maps::{self, Clock, CurrentPod, FLOWS, SOCKETS, TAGS, WIRE_FLOWS, WIRES},
    peer,
};

/// `TC_ACT_UNSPEC`: whoever comes next decides (`include/uapi/linux/pkt_cls.h`).
const PASS: i32 = -1;
/// `TC_ACT_SHOT`.
const DROP: i32 = 2;

/// The longest ARP packet between Ethernet and IPv4, padded to the shortest frame (RFC 826, IEEE 802.3).
const ARP_BYTES: u32 = 60;
/// Bytes of the IP headers, and of an ICMP header before what it quotes (RFC 792, RFC 4443).
const IPV4_BYTES: u32 = 20;
const IPV6_BYTES: u32 = 40;
const ICMP_BYTES: u32 = 8;
/// Where in a TCP header the word with the flags begins (RFC 9293).
const TCP_FLAGS_OFFSET: u32 = 12;
const TCP_SYN: u32 = 0x02;
const TCP_ACK: u32 = 0x10;

#[classifier]
pub(crate) fn weir_wire(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    let Some(pod) = pod_behind(skb) else { return DROP };
    // SAFETY: a word of the context.
    let tagged = unsafe { (&raw const (*skb).vlan_present).read_volatile() } != 0;
    let ethertype = headers::protocol(skb);
    if ethertype == ETH_P_ARP && !tagged && ctx.len() <= ARP_BYTES {
        return PASS;
    }
    let amount =
        Amount { count: 1, up: u64::from(ctx.len().wrapping_sub(ETHERNET_BYTES)), down: 0 };
    if tagged || (ethertype != ETH_P_IP && ethertype != ETH_P_IPV6) {
        let nowhere = Endpoint::default();
        let reason = Reason::RawSocket;
        let passes = account::refused(&pod, &SocketTag::UNKNOWN, nowhere, reason, false, amount);
        return if passes { PASS } else { DROP };
    }
    let packet = headers::parse(skb, Start::Link);
    let socket = any_socket(skb);
    let tag = match socket {
        // SAFETY: a socket that the kernel handed out for this run.
        Some(socket) => unsafe { TAGS.of(socket, SOCKETS.load() >= maps::MADE) },
        None => None,
    };
    // SAFETY: the kernel returned it for this run; its flags are set by whole words.
    let tag = tag.map(|tag| unsafe { &mut *tag });
    judge(&pod, skb, &packet, socket, tag, amount)
}

#[inline(always)]
fn judge(
    pod: &CurrentPod,
    skb: *mut __sk_buff,
    packet: &Packet,
    socket: Option<*mut bpf_sock>,
    tag: Option<&mut SocketTag>,
    amount: Amount,
) -> i32 {
    let to = packet.destination;
    let admitted = match (&tag, socket) {
        (Some(tag), Some(socket)) => is_admitted(pod, tag, socket, packet),
        _ => false,
    };
    let key = WireKey { source: packet.source, destination: to };
    let (passage, rule) =
        if admitted { (Passage::Admitted, 0) } else { passage(pod, skb, packet, &key) };
    let verdict = judge_wire(pod.state, packet, passage, || quoted_sender(skb), pod);
    let hard = match verdict.ruling {
        Ruling::Admitted => {
            match tag {
                Some(tag) => remember_rewritten(pod, tag, &key),
                None => account::allowed(pod, &SocketTag::UNKNOWN, to, rule, amount),
            }
            return PASS;
        }
        Ruling::Allowed => {
            if tag.is_none() {
                account::allowed(pod, &SocketTag::UNKNOWN, to, verdict.rule, amount);
            }
            remember(pod, &key, verdict.rule);
            return PASS;
        }
        Ruling::Local | Ruling::Control => return PASS,
        Ruling::Refused => false,
        Ruling::HardBlocked => true,
    };
    // Audit mode's word was given by the first layer, and counted there.
    if let Some(tag) = &tag
        && pod.audits()
        && !hard
        && was_audited(pod, tag, to, verdict.reason)
    {
        return PASS;
    }
    let tag = tag.as_deref().unwrap_or(&SocketTag::UNKNOWN);
    if account::refused(pod, tag, to, verdict.reason, hard, amount) { PASS } else { DROP }
}

/// Whether the packet's socket was admitted under the current policy, to where the packet goes.
#[inline(always)]
fn is_admitted(pod: &CurrentPod, tag: &SocketTag, socket: *mut bpf_sock, packet: &Packet) -> bool {
    let receives = peer::receives(socket, tag, packet);
    if SOCKETS.load() == maps::ADMITTED {
        return true;
    }
    receives && tag.generation == pod.state.generation
}

/// The pod behind the device that the packet came in by.
#[inline(always)]
fn pod_behind(skb: *mut __sk_buff) -> Option<CurrentPod> {
    // SAFETY: a word of the context.
    let device = unsafe { (&raw const (*skb).ifindex).read_volatile() };
    // SAFETY: the value is one aligned word, written whole.
    let slot = unsafe { WIRES.get_ptr(device)?.read_volatile() };
    if slot == 0 {
        return None;
    }
    CurrentPod::in_slot(slot, Clock::Coarse)
}

/// What is known of a packet that no admitted socket vouches for; with the rule, when its flow is known.
#[inline(always)]
fn passage(
    pod: &CurrentPod,
    skb: *mut __sk_buff,
    packet: &Packet,
    key: &WireKey,
) -> (Passage, u32) {
    if !matches!(packet.shape, Shape::Transport) {
        return (Passage::Stranger, 0);
    }
    if let Some(flow) = WIRE_FLOWS.get_value_ptr_mut(pod.slot, key) {
        // SAFETY: the kernel returned it for this run; both words are written whole, and either pair of
        // old and new is one that was admitted.
        let flow = unsafe { &mut *flow.cast::<WireFlow>() };
        if flow.generation == pod.state.generation {
            return (Passage::Known, flow.rule);
        }
        if let Some(rule) = readmit(pod.state, &packet.destination, pod) {
            flow.rule = rule;
            flow.generation = pod.state.generation;
            return (Passage::Known, rule);
        }
    }
    if packet.destination.protocol != protocol::TCP || !continues(skb) {
        return (Passage::Stranger, 0);
    }
    // The tail of a connection whose socket is gone (the kernel acknowledges and resets in its own name)
    // goes to an address whose answer may have aged, as that of an admitted socket.
    match readmit(pod.state, &packet.destination, pod) {
        Some(rule) => (Passage::Known, rule),
        None => (Passage::Reply, 0),
    }
}

/// Whether a TCP packet is not the first of a connection.
#[inline(always)]
fn continues(skb: *mut __sk_buff) -> bool {
    let offset = if headers::protocol(skb) == ETH_P_IP {
        IPV4_BYTES
    } else {
        // Behind extension headers nothing is looked for.
        match headers::load::<1>(skb, ETHERNET_BYTES + 4) {
            Some([word]) if (u32::from_be(word) >> 8) & 0xff == u32::from(protocol::TCP) => {
                IPV6_BYTES
            }
            _ => return false,
        }
    };
    match headers::load::<1>(skb, ETHERNET_BYTES + offset + TCP_FLAGS_OFFSET) {
        Some([word]) => (u32::from_be(word) >> 16) & (TCP_SYN | TCP_ACK) != TCP_SYN,
        None => false,
    }
}

/// The sender of the packet that a path-MTU message quotes.
#[inline(always)]
fn quoted_sender(skb: *mut __sk_buff) -> Option<Endpoint> {
    let quoted = if headers::protocol(skb) == ETH_P_IP {
        let words = headers::load::<IPV4_WORDS>(skb, ETHERNET_BYTES + IPV4_BYTES + ICMP_BYTES)?;
        parse_ipv4(&words, headers::zero(skb))
    } else {
        let words = headers::load::<IPV6_WORDS>(skb, ETHERNET_BYTES + IPV6_BYTES + ICMP_BYTES)?;
        parse_ipv6(&words, headers::zero(skb), |_| None)
    };
    matches!(quoted.shape, Shape::Transport).then_some(quoted.source)
}

/// Remembers a flow that an allow entry admitted.
#[inline(always)]
fn remember(pod: &CurrentPod, key: &WireKey, rule: u32) {
    let Some(flows) = WIRE_FLOWS.get(pod.slot) else { return };
    let flow = WireFlow { generation: pod.state.generation, rule };
    // Without room the flow is judged anew, packet by packet.
    let _full = flows.insert(key, [flow], u64::from(BPF_ANY));
}

/// Remembers where an admitted connection really goes when a load balancer chose that: what the kernel
/// sends for it after its end has no socket to vouch for it, and no allow entry.
#[inline(always)]
fn remember_rewritten(pod: &CurrentPod, tag: &mut SocketTag, key: &WireKey) {
    if tag.flags & flags::WIRED == 0 && tag.peer != key.destination {
        tag.flags |= flags::WIRED;
        remember(pod, key, tag.rule);
    }
}

#[inline(always)]
fn was_audited(pod: &CurrentPod, tag: &SocketTag, peer: Endpoint, reason: Reason) -> bool {
    let key = FlowKey {
        peer,
        tgid: tag.process.tgid,
        outcome: Outcome::Audited as u8,
        reason: reason as u8,
        execution: 0,
    };
    FLOWS.get_value_ptr_mut(pod.slot, &key).is_some()
}
