//! Whose act it is, for hooks that see the whole machine: the pod of the running process.

use core::cell::Cell;

use weir_ebpf::address::Endpoint;
use weir_ebpf::{
    lineage::Lineage,
    pod::flags,
    reason::Reason,
    socket::{SocketTag, flags as tag_flags},
};

use crate::{
    account::{self, Amount},
    attribution::{self, Container},
    lineage::{self, Kept},
    maps::{CGROUPS, Clock, CurrentPod},
    members,
};

/// `EPERM` (include/uapi/asm-generic/errno-base.h).
const EPERM: i32 = 1;
pub(crate) const PASS: i32 = 0;
const REFUSE: i32 = -EPERM;

/// A process of an enforced pod.
pub(crate) struct Subject {
    pub(crate) pod: CurrentPod,
    pub(crate) lineage: *mut Lineage,
}

/// What the running process is.
pub(crate) enum Current {
    /// Nobody's.
    Stranger,
    /// Of a pod that is gone, or of one of which no more processes can be kept.
    Orphan,
    /// Of this pod, enforced or closed.
    Of(Subject),
}

impl Subject {
    /// The running process, if it is known to be a pod's that is enforced: one lookup for all others.
    #[inline(always)]
    pub(crate) fn known() -> Option<Self> {
        match judge(lineage::of(attribution::current_tgid())?) {
            Current::Of(subject) => Some(subject),
            Current::Stranger | Current::Orphan => None,
        }
    }

    /// The same, if its profile watches files.
    #[inline(always)]
    pub(crate) fn watching() -> Option<Self> {
        Self::known().filter(|subject| subject.pod.state.flags & flags::WATCHES_FILES != 0)
    }

    /// As [`Self::known`], also of one that ran before the hooks were there.
    #[inline(always)]
    pub(crate) fn current() -> Current {
        match lineage::of_current() {
            Kept::Stranger => Current::Stranger,
            Kept::Unkept => Current::Orphan,
            Kept::As(lineage) => judge(lineage),
        }
    }

    /// Whether it is still in its pod's cgroup, or below.
    #[inline(always)]
    pub(crate) fn is_inside(&self) -> bool {
        members::of_current().is_some_and(|member| member.slot == self.pod.slot)
    }

    /// Whether its profile lets it be elsewhere.
    #[inline(always)]
    pub(crate) const fn may_leave(&self) -> bool {
        self.pod.state.flags & flags::MAY_LEAVE != 0
    }

    /// Counts and reports what is refused, and says what the hook returns.
    #[inline(always)]
    pub(crate) fn refuse(&self, what: Endpoint, reason: Reason) -> i32 {
        self.tell(what, reason, true)
    }

    /// Counts and reports what is refused, or only told of, and says what the hook returns.
    #[inline(always)]
    pub(crate) fn tell(&self, what: Endpoint, reason: Reason, refuses: bool) -> i32 {
        let tag = self.signature();
        let amount = Amount { count: 1, up: 0, down: 0 };
        // Here again: which clock it is must be known where it is read, also in a function of its own.
        let CurrentPod { slot, state, .. } = self.pod;
        let pod = CurrentPod { slot, state, now_ns: Cell::new(0), clock: Clock::Precise };
        if !refuses {
            account::observed(&pod, &tag, what, reason, amount);
            return PASS;
        }
        answer(account::refused(&pod, &tag, what, reason, false, amount))
    }

    /// The process, in the form in which sockets carry it.
    #[inline(always)]
    pub(crate) fn signature(&self) -> SocketTag {
        let mut tag = SocketTag::UNKNOWN;
        attribution::sign(&self.pod, &mut tag, Container::Known(self.container()));
        tag.flags = tag_flags::BY_LSM;
        tag
    }

    #[inline(always)]
    pub(crate) fn container(&self) -> u64 {
        // SAFETY: a word of a live map value.
        unsafe { (*self.lineage).container }
    }
}

/// What a hook returns. By a branch, which the compiler would make arithmetic of: the verifier wants to see that it is
/// one of the two.
#[inline(always)]
pub(crate) fn answer(passes: bool) -> i32 {
    if passes {
        return PASS;
    }
    // SAFETY: it does nothing.
    unsafe { core::arch::asm!("") };
    REFUSE
}

/// Whose act it is, of a process that is kept.
#[inline(always)]
pub(crate) fn judge(lineage: *mut Lineage) -> Current {
    // SAFETY: words of a live map value.
    let (slot, cgroup) = unsafe { ((*lineage).slot, (*lineage).pod) };
    if CGROUPS.get(slot).copied() != Some(cgroup) {
        return Current::Orphan;
    }
    CurrentPod::in_slot(slot, Clock::Precise)
        .map_or(Current::Orphan, |pod| Current::Of(Subject { pod, lineage }))
}
