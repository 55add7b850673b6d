//! Where the running kernel keeps what the programs read.

use weir_ebpf::{offsets::GuardOffsets, process::KernelOffsets};

use super::{
    btf::{Btf, BtfError},
    probe::{HelperKind, Probe, ProgramKind, Support},
};

/// Where the running kernel describes its own types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The offsets of a kernel.
#[derive(Debug)]
pub struct Offsets {
    /// What every program reads.
    pub all: KernelOffsets,
    /// What the programs that see the whole machine read beside, or what is missing for them.
    pub guard: Result<GuardOffsets, BtfError>,
    /// `bpf_map::id`.
    pub map_id: Option<u32>,
}

/// The offsets that the programs need, from a kernel's own BTF.
///
/// # Errors
///
/// [`BtfError`] when the blob is malformed or the kernel lacks a member that every program needs.
pub fn read(bytes: &[u8]) -> Result<Offsets, BtfError> {
    let btf = Btf::parse(bytes)?;
    Ok(Offsets { all: all(&btf)?, guard: guard(&btf), map_id: btf.offset("bpf_map", "id").ok() })
}

/// Whether programs may read the kernel's structures: not where it is locked down to keep its secrets
/// (`kernel_lockdown(7)`).
#[must_use]
pub fn may_read_kernel() -> Support {
    Probe::Helper(ProgramKind::CgroupSockAddr, HelperKind::ProbeReadKernel).run()
}

/// What of this kernel the programs may read.
#[derive(Debug)]
pub(super) struct Known {
    /// All zero, which switches the reads off, where the kernel has no BTF or lets nobody read.
    pub(super) all: KernelOffsets,
    /// Of the programs that see the whole machine, or why they cannot be loaded.
    pub(super) guard: Result<GuardOffsets, String>,
    /// `bpf_map::id`.
    pub(super) map_id: Option<u32>,
}

/// The offsets of the running kernel.
pub(super) fn of_this_kernel() -> Known {
    let found = match may_read_kernel() {
        Support::Yes => std::fs::read(KERNEL_BTF)
            .map_err(|source| source.to_string())
            .and_then(|bytes| read(&bytes).map_err(|source| source.to_string())),
        _ => Err("the kernel lets no program read it".to_owned()),
    };
    match found {
        Ok(Offsets { all, guard, map_id }) => {
            Known { all, guard: guard.map_err(|source| source.to_string()), map_id }
        }
        Err(reason) => {
            tracing::warn!(reason, "binary and ancestry of processes will not be recorded");
            Known { all: KernelOffsets::default(), guard: Err(reason), map_id: None }
        }
    }
}

fn all(btf: &Btf<'_>) -> Result<KernelOffsets, BtfError> {
    Ok(KernelOffsets {
        usable: 1,
        task_group_leader: btf.offset("task_struct", "group_leader")?,
        task_real_parent: btf.offset("task_struct", "real_parent")?,
        task_tgid: btf.offset("task_struct", "tgid")?,
        task_comm: btf.offset("task_struct", "comm")?,
        task_start_boottime: btf.offset("task_struct", "start_boottime")?,
        task_self_exec_id: btf.offset("task_struct", "self_exec_id")?,
        task_mm: btf.offset("task_struct", "mm")?,
        task_fs: btf.offset("task_struct", "fs")?,
        fs_root: btf.offset("fs_struct", "root")?,
        mm_exe_file: btf.offset("mm_struct", "exe_file")?,
        file_path: btf.offset("file", "f_path")?,
        path_mnt: btf.offset("path", "mnt")?,
        path_dentry: btf.offset("path", "dentry")?,
        dentry_parent: btf.offset("dentry", "d_parent")?,
        dentry_name: btf.offset("dentry", "d_name.name")?,
        vfsmount_root: btf.offset("vfsmount", "mnt_root")?,
        mount_mnt: btf.offset("mount", "mnt")?,
        mount_parent: btf.offset("mount", "mnt_parent")?,
        mount_mountpoint: btf.offset("mount", "mnt_mountpoint")?,
    })
}

fn guard(btf: &Btf<'_>) -> Result<GuardOffsets, BtfError> {
    Ok(GuardOffsets {
        task_pid: btf.offset("task_struct", "pid")?,
        task_signal: btf.offset("task_struct", "signal")?,
        task_thread_pid: btf.offset("task_struct", "thread_pid")?,
        signal_live: btf.offset("signal_struct", "live")?,
        signal_pids: btf.offset("signal_struct", "pids")?,
        mm_arg_start: btf.offset("mm_struct", "arg_start")?,
        mm_arg_end: btf.offset("mm_struct", "arg_end")?,
        cgroup_self: btf.offset("cgroup", "self")?,
        cgroup_node: btf.offset("cgroup", "kn")?,
        cgroup_root: btf.offset("cgroup", "root")?,
        css_parent: btf.offset("cgroup_subsys_state", "parent")?,
        root_hierarchy: btf.offset("cgroup_root", "hierarchy_id")?,
        node_id: btf.offset("kernfs_node", "id")?,
        socket_sock: btf.offset("socket", "sk")?,
        sock_family: btf.offset("sock", "__sk_common.skc_family")?,
        program_type: btf.offset("bpf_prog", "type")?,
        file_mode: btf.offset("file", "f_mode")?,
        dentry_inode: btf.offset("dentry", "d_inode")?,
        inode_super: btf.offset("inode", "i_sb")?,
        inode_number: btf.offset("inode", "i_ino")?,
        inode_links: btf.offset("inode", "i_nlink")?,
        inode_mode: btf.offset("inode", "i_mode")?,
        super_magic: btf.offset("super_block", "s_magic")?,
        super_device: btf.offset("super_block", "s_dev")?,
        proc_pid: btf.offset("proc_inode", "pid")?,
        proc_inode: btf.offset("proc_inode", "vfs_inode")?,
    })
}
