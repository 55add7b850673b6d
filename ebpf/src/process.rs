//! Which process it was: what the socket hooks read of the task that runs them.

/// Ancestors that are remembered, nearest first.
pub const ANCESTORS: usize = 8;
/// Path components that are remembered, last first.
pub const PATH_COMPONENTS: usize = 10;
/// Bytes of one component, its terminating zero included; longer ones are cut.
pub const COMPONENT_BYTES: usize = 40;
/// Bytes of a task's name (`TASK_COMM_LEN`).
pub const COMM_BYTES: usize = 16;

/// One execution of one process. Process ids come again; together with the start time and the
/// kernel's count of `execve` calls they do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ProcessKey {
    /// Start time of the thread group leader on the boot clock, nanoseconds; 0 without kernel BTF.
    pub start_ns: u64,
    /// Process id (thread group id) in the initial pid namespace.
    pub tgid: u32,
    /// How many times the process has called `execve` (`task_struct::self_exec_id`).
    pub exec_id: u32,
}

const _: () = assert!(size_of::<ProcessKey>() == 16);

impl ProcessKey {
    /// Which execution of its process id it is, in few bits: one pair of 65,536 looks alike. 0 where it is not known.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "it is folded to few bits")]
    pub const fn execution(&self) -> u16 {
        // Those that follow each other differ in the low bits of either.
        let start = self.start_ns ^ (self.start_ns >> 16) ^ (self.start_ns >> 32);
        (start as u16) ^ (self.exec_id as u16).rotate_left(8)
    }
}

/// An ancestor of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ancestor {
    /// The thread group leader's name, zero padded.
    pub comm: [u8; COMM_BYTES],
    /// Process id (thread group id) in the initial pid namespace.
    pub tgid: u32,
}

const _: () = assert!(size_of::<Ancestor>() == COMM_BYTES + 4);

/// Levels of the cgroup hierarchy that are looked at for a pod's cgroup; the kubelet's pods are on the third or
/// fourth, those of a node that is itself a container a few further down.
pub const CGROUP_LEVELS: i32 = 12;

/// What is remembered of a process from its first socket on, so that it can be named after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Process {
    /// Id of the cgroup right below the pod's that the process was in, which is its container's; 0 where there
    /// is none.
    pub container: u64,
    /// Digest of the command line (`crate::lineage::digest`); 0 where it is not known.
    pub arguments: u64,
    /// Components of the executable's path, the file name first, zero terminated.
    pub path: [[u8; COMPONENT_BYTES]; PATH_COMPONENTS],
    /// Ancestors, the parent first.
    pub ancestors: [Ancestor; ANCESTORS],
    /// The name of the thread group leader.
    pub comm: [u8; COMM_BYTES],
    /// How many components of `path` are filled.
    pub components: u32,
    /// How many of `ancestors` are filled.
    pub ancestor_count: u32,
    /// 1 when the walk ended at the root of the process, 0 when it ran out of room.
    pub path_complete: u32,
    /// 1 when the entry is filled in.
    pub ready: u32,
}

const _: () = assert!(
    size_of::<Process>()
        == 16 + PATH_COMPONENTS * COMPONENT_BYTES + ANCESTORS * (COMM_BYTES + 4) + COMM_BYTES + 16
);

/// Byte offsets inside kernel structures, read from the running kernel's own BTF.
///
/// rustc emits no CO-RE relocations, so the agent looks the offsets up before it loads the programs
/// and hands them over in read-only data. `usable` is 0 where the kernel has no BTF: then nothing
/// is read beyond what helpers give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KernelOffsets {
    /// 1 when every other field is valid.
    pub usable: u32,
    /// `task_struct::group_leader`.
    pub task_group_leader: u32,
    /// `task_struct::real_parent`.
    pub task_real_parent: u32,
    /// `task_struct::tgid`.
    pub task_tgid: u32,
    /// `task_struct::comm`.
    pub task_comm: u32,
    /// `task_struct::start_boottime`.
    pub task_start_boottime: u32,
    /// `task_struct::self_exec_id`.
    pub task_self_exec_id: u32,
    /// `task_struct::mm`.
    pub task_mm: u32,
    /// `task_struct::fs`.
    pub task_fs: u32,
    /// `fs_struct::root`.
    pub fs_root: u32,
    /// `mm_struct::exe_file`.
    pub mm_exe_file: u32,
    /// `file::f_path`.
    pub file_path: u32,
    /// `path::mnt`.
    pub path_mnt: u32,
    /// `path::dentry`.
    pub path_dentry: u32,
    /// `dentry::d_parent`.
    pub dentry_parent: u32,
    /// `dentry::d_name.name`.
    pub dentry_name: u32,
    /// `vfsmount::mnt_root`.
    pub vfsmount_root: u32,
    /// `mount::mnt`.
    pub mount_mnt: u32,
    /// `mount::mnt_parent`.
    pub mount_parent: u32,
    /// `mount::mnt_mountpoint`.
    pub mount_mountpoint: u32,
}

const _: () = assert!(size_of::<KernelOffsets>() == 80);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_that_follow_each_other_are_told_apart() {
        let first = ProcessKey { start_ns: 0x0000_1234_5678_9abc, tgid: 7, exec_id: 2 };
        assert_ne!(first.execution(), ProcessKey { exec_id: 3, ..first }.execution());
        for apart in [1, 1000, 1 << 16, 1_000_000, 1_000_000_000, 3_600_000_000_000] {
            let next = ProcessKey { start_ns: first.start_ns + apart, ..first };
            assert_ne!(first.execution(), next.execution(), "{apart}");
        }
        assert_eq!(ProcessKey::default().execution(), 0);
    }
}
