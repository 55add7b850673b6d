//! `cgroup_skb/egress`: the last word on every IP packet of a socket in the pod.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::bpf_sk_fullsock,
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use weir_ebpf::{
    flow::Client,
    packet::Packet,
    pod::flags as pod_flags,
    reason::Reason,
    socket::{SocketTag, flags},
    verdict::{Admission, Ruling, judge_packet, readmit},
};

use crate::{
    account::{self, Amount},
    headers::{self, Start},
    maps::{self, CLIENTS, CurrentPod, SOCKETS, TAGS},
    peer,
    tables::now_ns,
};

const PASS: i32 = 1;
const DROP: i32 = 0;

/// The loopback device has this index in every network namespace (net/core/dev.c).
pub(crate) const LOOPBACK_IFINDEX: u32 = 1;
/// `SOCK_RAW` (include/linux/net.h).
const SOCK_RAW: u32 = 3;

/// Who sent a packet whose socket has no storage. In memory of its own: on the stack it would have to
/// be zeroed for every packet.
pub(crate) static UNKNOWN: SocketTag = SocketTag::UNKNOWN;

#[cgroup_skb(egress)]
pub(crate) fn weir_egress(ctx: SkBuffContext) -> i32 {
    let Some(pod) = CurrentPod::get() else { return DROP };
    let packet = headers::parse(ctx.skb.skb, Start::Network);
    // Request and time-wait sockets have no storage: the helper looks, so they need not be told apart
    // here.
    let tag = match any_socket(ctx.skb.skb) {
        // SAFETY: a socket that the kernel handed out for this run.
        Some(socket) => unsafe { TAGS.of(socket, SOCKETS.load() >= maps::MADE) },
        None => None,
    };
    // SAFETY: the kernel returned it for this run; its counters are added to atomically.
    let mut tag = tag.map(|tag| unsafe { &mut *tag });
    let admission = match (&mut tag, any_socket(ctx.skb.skb)) {
        (Some(tag), Some(socket)) => admission(&pod, tag, socket, &packet),
        _ => Admission::Kernel,
    };
    // SAFETY: a word of the context.
    let ifindex = unsafe { (&raw const (*ctx.skb.skb).ifindex).read_volatile() };
    let on_loopback = ifindex == LOOPBACK_IFINDEX;
    let bytes = u64::from(ctx.skb.len());

    let verdict = judge_packet(pod.state, &packet, on_loopback, admission, &pod);
    let hard = match verdict.ruling {
        Ruling::Admitted => {
            if let Some(tag) = tag {
                sent(&pod, tag, bytes);
            }
            return PASS;
        }
        Ruling::Local => {
            if packet.destination.port == pod.state.listener_port
                && let Some(tag) = tag
            {
                remember_client(&pod, tag, &packet);
            }
            return PASS;
        }
        Ruling::Control => return PASS,
        Ruling::Allowed => {
            let (to, rule) = (packet.destination, verdict.rule);
            if let Some(tag) = tag {
                account::sent(&pod, tag, to, rule, bytes);
            } else {
                let amount = Amount { count: 1, up: bytes, down: 0 };
                account::allowed(&pod, &UNKNOWN, to, rule, amount);
            }
            return PASS;
        }
        Ruling::Refused => false,
        Ruling::HardBlocked => true,
    };
    let reason = if !hard && is_raw(&ctx) { Reason::RawSocket } else { verdict.reason };
    let tag = tag.as_deref().unwrap_or(&UNKNOWN);
    let amount = Amount { count: 1, up: bytes, down: 0 };
    #[cfg(feature = "debug-log")]
    aya_log_ebpf::debug!(
        &ctx,
        "egress: reason {} for port {} of process {}",
        reason as u8,
        packet.destination.port,
        tag.process.tgid
    );
    if account::refused(&pod, tag, packet.destination, reason, hard, amount) { PASS } else { DROP }
}

/// What the socket's past says of its packets.
#[inline(always)]
fn admission(
    pod: &CurrentPod,
    tag: &mut SocketTag,
    socket: *mut bpf_sock,
    packet: &Packet,
) -> Admission {
    if SOCKETS.load() == maps::ADMITTED {
        tag.generation = pod.state.generation;
    }
    if tag.generation != 0
        && pod.state.flags & pod_flags::OWN_NETNS != 0
        && !peer::receives(socket, tag, packet)
    {
        // Translated inside the pod, which may be the job's doing: the admission was for another address.
        return Admission::None;
    }
    if tag.generation == pod.state.generation {
        return Admission::Current;
    }
    if tag.generation != 0
        && let Some(rule) = readmit(pod.state, &tag.peer, pod)
    {
        account::flush(pod, tag);
        tag.rule = rule;
        tag.flags &= !flags::AUDITED;
        tag.generation = pod.state.generation;
        return Admission::Current;
    }
    if tag.flags & flags::INBOUND != 0 { Admission::Inbound } else { Admission::None }
}

#[inline(always)]
fn sent(pod: &CurrentPod, tag: &mut SocketTag, bytes: u64) {
    if tag.flags & flags::RELEASED == 0 {
        account::add(&raw mut tag.bytes_up, bytes);
    } else {
        account::settled(pod, tag, Amount { count: 0, up: bytes, down: 0 });
    }
}

/// Tells the resolver who asks: it answers only queries that passed here.
#[inline(always)]
fn remember_client(pod: &CurrentPod, tag: &SocketTag, packet: &Packet) {
    let client = Client {
        process: tag.process,
        comm: tag.comm,
        at_ns: now_ns(),
        asked: tag.captured,
        known: account::known(tag),
    };
    if let Some(clients) = CLIENTS.get(pod.slot) {
        // Without room the query goes unanswered, which is closed.
        let _full = clients.insert(packet.source, [client], 0);
    }
}

/// The socket behind the packet, full or not.
#[inline(always)]
pub(crate) fn any_socket(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    // SAFETY: a pointer-sized field of the context.
    let socket = unsafe { (&raw const (*skb).__bindgen_anon_2.sk).read_volatile() };
    if socket.is_null() { None } else { Some(socket) }
}

/// The full socket behind the packet.
#[inline(always)]
pub(crate) fn socket(ctx: &SkBuffContext) -> Option<*mut bpf_sock> {
    let socket = any_socket(ctx.skb.skb)?;
    // SAFETY: not null, and from the context.
    let socket = unsafe { bpf_sk_fullsock(socket) };
    if socket.is_null() { None } else { Some(socket) }
}

#[inline(always)]
fn is_raw(ctx: &SkBuffContext) -> bool {
    // SAFETY: a field of a full socket.
    socket(ctx)
        .is_some_and(|socket| unsafe { (&raw const (*socket).type_).read_volatile() } == SOCK_RAW)
}
