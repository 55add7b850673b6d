//! `sock_create` and `sock_release`: a socket's first attribution and its last account.

use aya_ebpf::{macros::cgroup_sock, programs::SockContext};
use weir_ebpf::socket::flags;

use crate::{
    account,
    attribution::{self, Container},
    maps::{CurrentPod, TAGS},
};

const PASS: i32 = 1;
const REFUSE: i32 = 0;

/// Every inet socket, raw and ICMP included, learns who made it.
#[cgroup_sock(sock_create)]
pub(crate) fn weir_sock_create(ctx: SockContext) -> i32 {
    let Some(pod) = CurrentPod::get() else { return REFUSE };
    // SAFETY: the context of this hook is the socket.
    let Some(tag) = (unsafe { TAGS.of(ctx.sock, true) }) else { return REFUSE };
    // SAFETY: the kernel returned it for this run, and nobody else has the socket yet.
    attribution::sign(&pod, unsafe { &mut *tag }, Container::Ask);
    PASS
}

/// The totals of a connected socket go to the flow table; what it still sends is added there.
#[cgroup_sock(sock_release)]
pub(crate) fn weir_sock_release(ctx: SockContext) -> i32 {
    let Some(pod) = CurrentPod::get() else { return PASS };
    // SAFETY: the context of this hook is the socket.
    let Some(tag) = (unsafe { TAGS.of(ctx.sock, false) }) else { return PASS };
    // SAFETY: the kernel returned it for this run.
    let tag = unsafe { &mut *tag };
    tag.flags |= flags::RELEASED;
    account::flush(&pod, tag);
    PASS
}
