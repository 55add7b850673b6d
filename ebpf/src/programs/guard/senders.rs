//! `socket_connect`, `socket_sendmsg`: who uses a socket, whoever made it.

use aya_ebpf::{bindings::bpf_sock, macros::lsm, programs::LsmContext};
use weir_ebpf::socket::flags;

use crate::{
    account,
    attribution::{self, Container},
    maps::{TAGS, fired, guard_offsets},
    subject::{PASS, Subject},
};

/// `AF_INET` and `AF_INET6` (include/linux/socket.h).
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

#[lsm(hook = "socket_connect")]
pub(crate) fn weir_socket_connect(ctx: LsmContext) -> i32 {
    fired();
    name_user(&ctx);
    PASS
}

#[lsm(hook = "socket_sendmsg")]
pub(crate) fn weir_socket_sendmsg(ctx: LsmContext) -> i32 {
    name_user(&ctx);
    PASS
}

#[inline(always)]
fn name_user(ctx: &LsmContext) {
    let Some(subject) = Subject::known() else { return };
    let socket: *const u8 = ctx.arg(0);
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "the kernel's own structure, at the kernel's own offset"
    )]
    // SAFETY: the verifier knows the argument as a `struct socket` and the offset as a constant, and refuses the program
    // where no pointer to a `struct sock` is at it.
    let sock = unsafe {
        socket.add(guard_offsets().socket_sock as usize).cast::<*mut bpf_sock>().read_volatile()
    };
    if !sock.is_null() {
        sign(&subject, sock);
    }
}

/// Writes down in a socket who uses it.
#[inline(always)]
pub(super) fn sign(subject: &Subject, sock: *mut bpf_sock) {
    // SAFETY: as above, of a `struct sock`.
    let family = unsafe {
        sock.byte_add(guard_offsets().sock_family as usize).cast::<u16>().read_volatile()
    };
    if family != AF_INET && family != AF_INET6 {
        return;
    }
    // SAFETY: a socket of the arguments.
    let Some(tag) = (unsafe { TAGS.of(sock, true) }) else { return };
    // SAFETY: the kernel returned it for this run. Two threads may use one socket at once; what they mix up is which of
    // them is named.
    let tag = unsafe { &mut *tag };
    // SAFETY: words of a live map value.
    let process = unsafe { (*subject.lineage).process };
    if tag.process == process {
        // What it is was written down when it made the socket, or used it for the first time.
        tag.flags |= flags::BY_LSM;
        return;
    }
    if tag.process.tgid != process.tgid {
        // What was counted so far was another's.
        account::flush(&subject.pod, tag);
    }
    attribution::sign(&subject.pod, tag, Container::Known(subject.container()));
    tag.flags |= flags::BY_LSM;
}
