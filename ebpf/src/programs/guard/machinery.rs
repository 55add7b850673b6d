//! `bpf`, `bpf_prog`: what a pod may ask of the machinery that enforces it.

use aya_ebpf::{
    btf_maps::LruHashMap,
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_map, lsm},
    programs::LsmContext,
};
use weir_ebpf::{
    address::{Address, Endpoint},
    guard::{is_trial, may_call, may_hold},
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
    if matches!(current, Current::Stranger) {
        return PASS;
    }
    let attributes = read(attributes, 0);
    note_trial(is_trial(command, attributes));
    if may_call(command, attributes) {
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
    if matches!(current, Current::Stranger)
        || may_hold(read(program, guard_offsets().program_type))
        || is_on_trial()
    {
        return PASS;
    }
    judge(&current, GET_FD_BY_ID)
}

/// Threads that are loading a program only to see whether that can be done: what they get a descriptor of is the program
/// that they brought, where other calls of theirs may lead to somebody else's.
#[btf_map]
static TRIALS: LruHashMap<u64, u32, 256> = LruHashMap::new();

/// Notes what the thread's call is about, from its beginning on.
#[inline(always)]
fn note_trial(is_one: bool) {
    let thread = bpf_get_current_pid_tgid();
    if is_one {
        let _full = TRIALS.insert(thread, 1, 0);
    } else {
        let _none = TRIALS.remove(thread);
    }
}

#[inline(always)]
fn is_on_trial() -> bool {
    TRIALS.get_ptr(bpf_get_current_pid_tgid()).is_some()
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
