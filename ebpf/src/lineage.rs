//! Which processes are a pod's, and whom they descend from: kept from their first instruction to their end, so that it
//! is known of a process that lived two milliseconds, and of one whose parents are gone.
//!
//! A process belongs to the pod in whose cgroup it runs, or ran: what leaves the cgroup is still the pod's, and so is
//! all that it starts.

use crate::{
    pod::SLOTS,
    process::{ANCESTORS, Ancestor, COMM_BYTES, ProcessKey},
};

/// Processes of all pods of a node that are kept.
pub const PROCESSES: usize = 65_536;

/// How many processes pods may have.
///
/// A process that is not kept is nobody's to the hooks that see the whole machine. So those that a pod starts end before
/// the table does: no pod leaves another without room, and there is always some for the first processes of containers,
/// which come from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProcessLimits {
    /// Of one pod.
    pub of_pod: u32,
    /// Of all pods.
    pub of_all: u32,
    /// Of all pods, with those that come from outside.
    pub kept: u32,
}

const _: () = assert!(size_of::<ProcessLimits>() == 12);

impl ProcessLimits {
    /// Those of a machine of which `kept` processes are kept, for many pods: one may have a quarter.
    #[must_use]
    pub const fn of_many(kept: u32) -> Self {
        Self { of_pod: kept / 4, of_all: Self::forked(kept), kept }
    }

    /// Those of a machine of which `kept` processes are kept, all of one tree.
    #[must_use]
    pub const fn of_one(kept: u32) -> Self {
        Self { of_pod: Self::forked(kept), of_all: Self::forked(kept), kept }
    }

    const fn forked(kept: u32) -> u32 {
        kept - kept / 8
    }

    /// Whether a pod may start another process, where it and all pods together have so many.
    #[inline(always)]
    #[must_use]
    pub const fn admits(self, of_pod: u64, of_all: u64) -> bool {
        of_pod < self.of_pod as u64 && of_all < self.of_all as u64
    }

    /// Whether another process may be kept, where all pods together have so many.
    #[inline(always)]
    #[must_use]
    pub const fn keeps(self, of_all: u64) -> bool {
        of_all < self.kept as u64
    }
}

/// Bytes of a command line that are in its digest.
pub const ARGUMENT_BYTES: usize = 256;

/// Cgroups of all pods of a node that are known: so many for each that none can leave another without.
pub const CGROUPS: usize = SLOTS * CGROUPS_OF_POD;

/// Cgroups of one pod that are known.
pub const CGROUPS_OF_POD: usize = 256;

/// Those among them that the pod's own processes make, below its containers': the others are left to whoever makes
/// containers. What runs in further ones is known by what it descends from, and may not move between them.
pub const CGROUPS_MADE_BY_POD: u64 = 224;

/// A cgroup of a pod: the pod's own, one of its containers', or one below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Member {
    /// Id of the cgroup right below the pod's, which is its container's; 0 for the pod's own.
    pub container: u64,
    /// The pod.
    pub slot: u32,
    /// 1 if a process of a pod made it, and it is counted.
    pub counted: u32,
}

const _: () = assert!(size_of::<Member>() == 16);

impl Member {
    /// What the cgroup `id`, made below this one, is.
    #[inline(always)]
    #[must_use]
    pub const fn below(self, id: u64, counted: bool) -> Self {
        let container = if self.container == 0 { id } else { self.container };
        Self { container, slot: self.slot, counted: counted as u32 }
    }
}

/// A process of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Lineage {
    /// Id of the pod's cgroup: a slot is given to another pod some day.
    pub pod: u64,
    /// As [`Member::container`].
    pub container: u64,
    /// Digest of the command line ([`digest`]); 0 before the first `execve`.
    pub arguments: u64,
    /// The process.
    pub process: ProcessKey,
    /// The pod.
    pub slot: u32,
    /// How many ancestors it has had in the pod.
    pub depth: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Always zero.
    pub padding: u32,
    /// The name of the thread group leader at its last `execve`.
    pub comm: [u8; COMM_BYTES],
    /// Its ancestors; the one at a depth is at its [`place`].
    pub ancestors: [Ancestor; ANCESTORS],
}

const _: () = assert!(size_of::<Lineage>() == 72 + ANCESTORS * (COMM_BYTES + 4));
const _: () = assert!(ANCESTORS.is_power_of_two());

/// Bits of [`Lineage::flags`].
pub mod flags {
    /// It has read a credential file that its profile watches, or descends from one that has.
    pub const CREDENTIAL_READ: u32 = 1;
    /// It came into the pod from outside, and has executed nothing since: a container runtime on the way to a command, and
    /// no ancestor of it. So is one of the pod's own that found no room when it was born, if its parent found none either.
    pub const FROM_OUTSIDE: u32 = 1 << 1;
}

/// Where the ancestor at a depth is kept: the nearer one ahead of the one further away.
#[inline(always)]
#[must_use]
pub const fn place(depth: u32) -> usize {
    !(depth as usize) & (ANCESTORS - 1)
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo; draft-eastlake-fnv).
pub const DIGEST_START: u64 = 0xcbf2_9ce4_8422_2325;
const DIGEST_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Adds a byte to a digest.
#[inline(always)]
#[must_use]
pub const fn digest(digest: u64, byte: u8) -> u64 {
    (digest ^ byte as u64).wrapping_mul(DIGEST_PRIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_the_first_cgroup_below_the_pods() {
        let pod = Member { container: 0, slot: 7, counted: 0 };
        let container = pod.below(11, false);
        assert_eq!(container, Member { container: 11, ..pod });
        assert_eq!(container.below(12, false), container);
        let counted = container.below(12, true);
        assert_eq!(counted, Member { counted: 1, ..container });
        assert_eq!(counted.below(13, false), container);
    }

    #[test]
    fn no_pod_takes_the_room_of_others() {
        let limits = ProcessLimits::of_many(1024);
        assert!(limits.admits(255, 255) && !limits.admits(256, 256));
        // Three have all of theirs; the fourth finds some, and containers begin after that.
        assert!(limits.admits(127, 895) && !limits.admits(128, 896));
        assert!(limits.keeps(1023) && !limits.keeps(1024));
        let limits = ProcessLimits::of_one(1024);
        assert!(limits.admits(895, 895) && !limits.admits(896, 896));
    }

    #[test]
    fn digests_are_those_of_the_algorithm() {
        let of = |text: &str| text.bytes().fold(DIGEST_START, digest);
        assert_eq!(of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(of("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_new_ancestor_takes_the_place_of_the_one_furthest_away() {
        let count = u32::try_from(ANCESTORS).unwrap();
        assert_eq!(place(3), place(3 + count));
        assert_ne!(place(3), place(2 + count));
        assert_eq!(place(count - 1), 0);
        assert_eq!(place(count - 2), 1);
    }
}
