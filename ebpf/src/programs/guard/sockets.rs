//! `socket_create`: families that lead past IP, and sockets made outside the pod's cgroup, where its hooks are not.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use weir_ebpf::{
    address::{Address, Endpoint},
    pod::{LOCAL_FAMILIES, may_make},
    reason::Reason,
};

use crate::{
    maps::fired,
    subject::{Current, PASS, Subject, answer},
};

/// `AF_UNIX`, which leads nowhere and is asked for all the time, and `AF_NETLINK`, which leads to the kernel.
const AF_UNIX: u32 = 1;
const AF_NETLINK: u32 = 16;

#[lsm(hook = "socket_create")]
pub(crate) fn weir_socket_create(ctx: LsmContext) -> i32 {
    fired();
    let family: u32 = ctx.arg(0);
    let of_kernel: u32 = ctx.arg(3);
    if of_kernel != 0 || family == AF_UNIX {
        return PASS;
    }
    let subject = match Subject::current() {
        Current::Of(subject) => subject,
        Current::Orphan => return answer(may_make(LOCAL_FAMILIES, family)),
        Current::Stranger => return PASS,
    };
    // The family stands where a port does: there is no address.
    let what = Endpoint::new(Address([0; 4]), 0, family as u16);
    if !may_make(subject.pod.state.families, family) {
        return subject.refuse(what, Reason::RawSocket);
    }
    if family != AF_NETLINK && !subject.may_leave() && !subject.is_inside() {
        return subject.refuse(what, Reason::CgroupLeft);
    }
    PASS
}
