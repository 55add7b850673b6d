//! `connect4`, `connect6`, `sendmsg4`, `sendmsg6`: the verdict before a packet exists, in process
//! context, so that a refused connect fails at once with EPERM; attribution; and the capture of what the pod's own
//! listener answers.

use aya_ebpf::{
    bindings::bpf_sock_addr, helpers::generated::bpf_set_retval, macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use weir_ebpf::{
    address::{Address, Endpoint, protocol},
    pod::{SENTINEL, flags as pod_flags, leads_to_page},
    reason::Reason,
    socket::{SocketTag, flags},
    verdict::{Ruling, judge_connect},
};

use crate::{
    account::{self, Amount},
    attribution::{self, Container},
    maps::{CHOOSES_ERRNO, CurrentPod, TAGS},
};

const PASS: i32 = 1;
const REFUSE: i32 = 0;
const DNS_PORT: u16 = 53;
/// "No anode" (include/uapi/asm-generic/errno.h), which no part of the network stack returns.
const ENOANO: i32 = 55;

#[cgroup_sock_addr(connect4)]
pub(crate) fn weir_connect4(ctx: SockAddrContext) -> i32 {
    judge(ctx.sock_addr, Family::V4, Call::Connect)
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn weir_connect6(ctx: SockAddrContext) -> i32 {
    judge(ctx.sock_addr, Family::V6, Call::Connect)
}

#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn weir_sendmsg4(ctx: SockAddrContext) -> i32 {
    judge(ctx.sock_addr, Family::V4, Call::Send)
}

#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn weir_sendmsg6(ctx: SockAddrContext) -> i32 {
    judge(ctx.sock_addr, Family::V6, Call::Send)
}

/// The address family of the hook, which is not always that of the socket.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    /// The context holds an IPv4 address.
    V4,
    /// The context holds an IPv6 address, perhaps a v4-mapped one.
    V6,
}

#[derive(Clone, Copy)]
enum Call {
    Connect,
    Send,
}

#[inline(always)]
fn judge(ctx: *mut bpf_sock_addr, family: Family, call: Call) -> i32 {
    let Some(pod) = CurrentPod::get() else { return REFUSE };
    // SAFETY: the context is valid for this run.
    let socket = unsafe { (&raw const (*ctx).__bindgen_anon_1.sk).read_volatile() };
    if socket.is_null() {
        return REFUSE;
    }
    // SAFETY: the socket of the context is a full one.
    let Some(tag) = (unsafe { TAGS.of(socket, true) }) else {
        if let Some(counters) = account::counters(&pod) {
            // SAFETY: a field of a live map value.
            account::add(unsafe { &raw mut (*counters).no_storage }, 1);
        }
        return REFUSE;
    };
    // SAFETY: the kernel returned it for this run. Two threads may connect one socket at once; what
    // they mix up is which of them is named.
    let tag = unsafe { &mut *tag };
    let destination = read_destination(ctx, family);
    let is_connect = matches!(call, Call::Connect);
    // What was admitted ends here: with another connect, and with a send that names its own address. A
    // socket that is dissolved (AF_UNSPEC) meets no hook, and kept its admission for whatever it sent.
    if is_connect || tag.generation != 0 || tag.process.tgid != attribution::current_tgid() {
        account::flush(&pod, tag);
        tag.generation = 0;
    }
    attribution::sign(&pod, tag, Container::Ask);
    if is_connect {
        tag.flags &= flags::INBOUND | flags::BY_LSM;
    }
    if is_connect && destination.address == SENTINEL && pod.state.flags & pod_flags::PROVEN != 0 {
        return answer_sentinel();
    }
    // A name server on the loopback of an own namespace is one of the pod's (Docker's for its containers):
    // what it passes on is captured.
    let stays = pod.state.flags & pod_flags::OWN_NETNS != 0 && destination.address.is_loopback();
    let is_question = destination.port == DNS_PORT && has_ports(destination.protocol) && !stays;
    if is_question || (is_connect && leads_to_page(&destination)) {
        return capture(ctx, family, &pod, tag, destination);
    }
    if !is_connect {
        tag.flags &= !flags::CAPTURED;
    }

    let verdict = judge_connect(pod.state, &destination, &pod);
    let hard = match verdict.ruling {
        Ruling::Allowed => {
            if is_connect && has_ports(destination.protocol) {
                let amount = Amount { count: 1, up: 0, down: 0 };
                admit(pod.state.generation, tag, destination, verdict.rule);
                account::allowed(&pod, tag, destination, verdict.rule, amount);
            }
            return PASS;
        }
        Ruling::Local | Ruling::Admitted | Ruling::Control => return PASS,
        Ruling::Refused => false,
        Ruling::HardBlocked => true,
    };
    let reason = verdict.reason;
    // A connect over UDP sends nothing, and libc makes one to every address of a name only to learn which
    // it would use (RFC 6724, getaddrinfo). Refused, it would be a violation that is none; passed without
    // admission, the first datagram is judged, refused with EPERM and reported by the egress hook.
    if is_connect && destination.protocol == protocol::UDP {
        return PASS;
    }
    // A send in audit mode is counted when its packet passes; what does not pass has no packet.
    if !is_connect && pod.audits() && !hard {
        return PASS;
    }
    let passes =
        account::refused(&pod, tag, destination, reason, hard, Amount { count: 1, up: 0, down: 0 });
    if !passes {
        return REFUSE;
    }
    if has_ports(destination.protocol) {
        admit(pod.state.generation, tag, destination, pod.state.refusing_rule);
        tag.reason = u32::from(reason as u8);
        tag.flags |= flags::AUDITED;
    }
    PASS
}

/// Tells the barrier that every layer is in place, by an errno that nothing else gives to a connect.
#[inline(always)]
fn answer_sentinel() -> i32 {
    if CHOOSES_ERRNO.load() != 0 {
        // SAFETY: the helper takes a number. Where the kernel lacks it, the verifier knows that this is
        // never reached.
        unsafe { bpf_set_retval(-ENOANO) };
    }
    REFUSE
}

#[inline(always)]
const fn has_ports(number: u8) -> bool {
    number == protocol::TCP || number == protocol::UDP
}

#[inline(always)]
fn admit(generation: u32, tag: &mut SocketTag, peer: Endpoint, rule: u32) {
    tag.peer = peer;
    tag.rule = rule;
    tag.generation = generation;
}

/// Sends a DNS query to the pod's own listener, whichever name server it was meant for, and a connect to the page.
#[inline(always)]
fn capture(
    ctx: *mut bpf_sock_addr,
    family: Family,
    pod: &CurrentPod,
    tag: &mut SocketTag,
    asked: Endpoint,
) -> i32 {
    if pod.state.listener_port == 0 {
        let amount = Amount { count: 1, up: 0, down: 0 };
        account::refused(pod, tag, asked, Reason::DnsBypass, true, amount);
        return REFUSE;
    }
    tag.captured = asked;
    tag.flags |= flags::CAPTURED;
    let listener = match family {
        Family::V6 if asked.address.v4_be().is_none() => pod.state.listener_v6,
        _ => pod.state.listener_v4,
    };
    write_destination(
        ctx,
        family,
        Endpoint::new(listener, asked.protocol, pod.state.listener_port),
    );
    PASS
}

/// Reads the address of the context, word by word: the verifier allows nothing else.
#[inline(always)]
pub(crate) fn read_destination(ctx: *mut bpf_sock_addr, family: Family) -> Endpoint {
    // SAFETY: the context is valid for this run, and each read is one aligned word of it.
    unsafe {
        let address = match family {
            Family::V4 => Address::from_v4_be((&raw const (*ctx).user_ip4).read_volatile()),
            Family::V6 => {
                let words = (&raw const (*ctx).user_ip6).cast::<u32>();
                Address([
                    words.read_volatile(),
                    words.add(1).read_volatile(),
                    words.add(2).read_volatile(),
                    words.add(3).read_volatile(),
                ])
            }
        };
        let port = (&raw const (*ctx).user_port).read_volatile();
        let number = (&raw const (*ctx).protocol).read_volatile();
        // Protocols beyond 255 (IPPROTO_MPTCP) never reach a wire under that number.
        let number = if number > 255 { 255 } else { number as u8 };
        Endpoint::new(address, number, u16::from_be(port as u16))
    }
}

/// Writes the address of the context.
#[inline(always)]
pub(crate) fn write_destination(ctx: *mut bpf_sock_addr, family: Family, endpoint: Endpoint) {
    let [w0, w1, w2, w3] = endpoint.address.0;
    // SAFETY: as for reading.
    unsafe {
        match family {
            Family::V4 => (&raw mut (*ctx).user_ip4).write_volatile(w3),
            Family::V6 => {
                let words = (&raw mut (*ctx).user_ip6).cast::<u32>();
                words.write_volatile(w0);
                words.add(1).write_volatile(w1);
                words.add(2).write_volatile(w2);
                words.add(3).write_volatile(w3);
            }
        }
        (&raw mut (*ctx).user_port).write_volatile(u32::from(endpoint.port.to_be()));
    }
}
