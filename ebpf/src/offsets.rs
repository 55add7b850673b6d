//! Where the running kernel keeps what the hooks outside the pods' cgroups read, beside what
//! [`crate::process::KernelOffsets`] has.

/// Byte offsets inside kernel structures, read from the running kernel's own BTF. Where one is missing none of the
/// hooks is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GuardOffsets {
    /// `task_struct::pid`.
    pub task_pid: u32,
    /// `task_struct::signal`.
    pub task_signal: u32,
    /// `task_struct::thread_pid`.
    pub task_thread_pid: u32,
    /// `signal_struct::live`.
    pub signal_live: u32,
    /// `signal_struct::pids`.
    pub signal_pids: u32,
    /// `mm_struct::arg_start`.
    pub mm_arg_start: u32,
    /// `mm_struct::arg_end`.
    pub mm_arg_end: u32,
    /// `cgroup::self`.
    pub cgroup_self: u32,
    /// `cgroup::kn`.
    pub cgroup_node: u32,
    /// `cgroup::root`.
    pub cgroup_root: u32,
    /// `cgroup_subsys_state::parent`.
    pub css_parent: u32,
    /// `cgroup_root::hierarchy_id`.
    pub root_hierarchy: u32,
    /// `kernfs_node::id`.
    pub node_id: u32,
    /// `socket::sk`.
    pub socket_sock: u32,
    /// `sock::__sk_common.skc_family`.
    pub sock_family: u32,
    /// `bpf_prog::type`.
    pub program_type: u32,
    /// `file::f_mode`.
    pub file_mode: u32,
    /// `dentry::d_inode`.
    pub dentry_inode: u32,
    /// `inode::i_sb`.
    pub inode_super: u32,
    /// `inode::i_ino`.
    pub inode_number: u32,
    /// `inode::i_nlink`.
    pub inode_links: u32,
    /// `inode::i_mode`.
    pub inode_mode: u32,
    /// `super_block::s_magic`.
    pub super_magic: u32,
    /// `super_block::s_dev`.
    pub super_device: u32,
    /// `proc_inode::pid`.
    pub proc_pid: u32,
    /// `proc_inode::vfs_inode`.
    pub proc_inode: u32,
}

const _: () = assert!(size_of::<GuardOffsets>() == 104);
