//! `recvmsg4`, `recvmsg6`, `getpeername4`, `getpeername6`: the answers of the listener come from the
//! name server that the client asked.

use aya_ebpf::{bindings::bpf_sock_addr, macros::cgroup_sock_addr, programs::SockAddrContext};
use weir_ebpf::socket::flags;

use crate::{
    connect::{Family, read_destination, write_destination},
    maps::{CurrentPod, TAGS},
};

/// These hooks can only say yes (the verifier accepts no other return value).
const PASS: i32 = 1;

#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn weir_recvmsg4(ctx: SockAddrContext) -> i32 {
    restore(ctx.sock_addr, Family::V4)
}

#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn weir_recvmsg6(ctx: SockAddrContext) -> i32 {
    restore(ctx.sock_addr, Family::V6)
}

#[cgroup_sock_addr(getpeername4)]
pub(crate) fn weir_getpeername4(ctx: SockAddrContext) -> i32 {
    restore(ctx.sock_addr, Family::V4)
}

#[cgroup_sock_addr(getpeername6)]
pub(crate) fn weir_getpeername6(ctx: SockAddrContext) -> i32 {
    restore(ctx.sock_addr, Family::V6)
}

#[inline(always)]
fn restore(ctx: *mut bpf_sock_addr, family: Family) -> i32 {
    let Some(pod) = CurrentPod::get() else { return PASS };
    // SAFETY: the context is valid for this run.
    let socket = unsafe { (&raw const (*ctx).__bindgen_anon_1.sk).read_volatile() };
    if socket.is_null() {
        return PASS;
    }
    // SAFETY: the socket of the context is a full one.
    let Some(tag) = (unsafe { TAGS.of(socket, false) }) else { return PASS };
    // SAFETY: the kernel returned it for this run.
    let tag = unsafe { &*tag };
    if tag.flags & flags::CAPTURED == 0 {
        return PASS;
    }
    let source = read_destination(ctx, family);
    let is_listener = source.port == pod.state.listener_port
        && (source.address == pod.state.listener_v4 || source.address == pod.state.listener_v6);
    if is_listener {
        write_destination(ctx, family, tag.captured);
    }
    PASS
}
