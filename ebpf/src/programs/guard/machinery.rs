//! `bpf`, `bpf_prog`: what a pod may ask of the machinery that enforces it.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use weir_ebpf::{
    address::{Address, Endpoint},
    guard::{may_call, may_hold},
    reason::Reason,
};

use crate::{
    attribution::read,
    maps::{fired, guard_offsets},
    subject::{Current, PASS, Subject, answer},
};

#[lsm(hook = "bpf")]
pub(crate) fn weir_bpf(ctx: LsmContext) -> i32 {
    fired();
    let command: u32 = ctx.arg(0);
    let attributes: u64 = ctx.arg(1);
    let current = Subject::current();
    if matches!(current, Current::Stranger) || may_call(command, read(attributes, 0)) {
        return PASS;
    }
    judge(&current, command)
}

#[lsm(hook = "bpf_prog")]
pub(crate) fn weir_bpf_prog(ctx: LsmContext) -> i32 {
    /// `BPF_PROG_GET_FD_BY_ID` (include/uapi/linux/bpf.h).
    const GET_FD_BY_ID: u32 = 13;
    let program: u64 = ctx.arg(0);
    let current = Subject::current();
    if matches!(current, Current::Stranger) || may_hold(read(program, guard_offsets().program_type))
    {
        return PASS;
    }
    judge(&current, GET_FD_BY_ID)
}

/// The command stands where a port does: there is no address.
#[inline(always)]
fn judge(current: &Current, command: u32) -> i32 {
    match current {
        Current::Of(subject) => {
            subject.refuse(Endpoint::new(Address([0; 4]), 0, command as u16), Reason::BpfDenied)
        }
        Current::Orphan => answer(false),
        Current::Stranger => PASS,
    }
}
