//! `task_alloc`: no pod has more processes than are kept. One that is not is nobody's to every other hook.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use weir_ebpf::{
    address::{Address, Endpoint},
    reason::Reason,
};

use crate::{
    attribution::current_tgid,
    lineage,
    subject::{self, Current, PASS},
};

/// `CLONE_THREAD` (include/uapi/linux/sched.h).
const CLONE_THREAD: u64 = 0x0001_0000;
/// `-EAGAIN` (include/uapi/asm-generic/errno-base.h): what `fork(2)` says where a limit is reached.
const TRY_AGAIN: i32 = -11;

#[lsm(hook = "task_alloc")]
pub(crate) fn weir_task_alloc(ctx: LsmContext) -> i32 {
    let flags: u64 = ctx.arg(1);
    if flags & CLONE_THREAD != 0 {
        return PASS;
    }
    let Some(parent) = lineage::of(current_tgid()) else { return PASS };
    // SAFETY: a word of a live map value.
    if lineage::has_room(unsafe { (*parent).slot }) {
        return PASS;
    }
    if let Current::Of(subject) = subject::judge(parent) {
        let what = Endpoint::new(Address([0; 4]), 0, 0);
        if subject.refuse(what, Reason::ProcessLimit) == PASS {
            return PASS;
        }
    }
    // SAFETY: it does nothing. By a branch, as in `answer`.
    unsafe { core::arch::asm!("") };
    TRY_AGAIN
}
