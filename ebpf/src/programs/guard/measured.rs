//! The paths of these hooks whose cost counts, at tracepoints: for the benchmark alone, and for kernels that take no
//! security modules. They are loaded by nobody else.

use aya_ebpf::{bindings::bpf_sock, macros::btf_tracepoint, programs::BtfTracePointContext};

use super::senders::sign;
use crate::{maps::fired, subject::Subject};

/// `TCP_SYN_SENT` (`include/net/tcp_states.h`).
const SYN_SENT: i32 = 2;

/// What everything that is measured here is set against.
#[btf_tracepoint(function = "sys_enter")]
pub(crate) fn weir_measured_nothing(_ctx: BtfTracePointContext) -> i32 {
    0
}

/// Every hook, for a process that is no pod's: as `weir_file_open` begins.
#[btf_tracepoint(function = "sys_enter")]
pub(crate) fn weir_measured_stranger(_ctx: BtfTracePointContext) -> i32 {
    fired();
    let Some(subject) = Subject::known() else { return 0 };
    // Something that needs the pod, or there would be nothing to look up.
    subject.pod.slot.cast_signed()
}

/// `weir_socket_connect`, in a pod: each connect sets this state once, in the process that asked for it.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn weir_measured_connect(ctx: BtfTracePointContext) -> i32 {
    let socket: *mut bpf_sock = ctx.arg(0);
    let state: i32 = ctx.arg(2);
    if state != SYN_SENT {
        return 0;
    }
    fired();
    if let Some(subject) = Subject::known() {
        sign(&subject, socket);
    }
    0
}
