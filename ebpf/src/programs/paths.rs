//! Walks from a directory entry up to the root.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel_str};
use weir_ebpf::{
    credential::Name,
    process::{COMPONENT_BYTES, KernelOffsets, PATH_COMPONENTS},
};

use crate::attribution::read;

/// A directory entry, and the mount by which it was reached; 0 where that is not known.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) vfsmount: u64,
    pub(crate) dentry: u64,
}

impl Place {
    /// No entry.
    pub(crate) const NOWHERE: Self = Self { vfsmount: 0, dentry: 0 };

    /// Where a file is.
    #[inline(always)]
    pub(crate) fn of_file(file: u64, offsets: &KernelOffsets) -> Self {
        Self {
            vfsmount: read(file, offsets.file_path + offsets.path_mnt),
            dentry: read(file, offsets.file_path + offsets.path_dentry),
        }
    }

    /// The root of a process.
    #[inline(always)]
    pub(crate) fn root_of(task: u64, offsets: &KernelOffsets) -> Self {
        let fs: u64 = read(task, offsets.task_fs);
        Self {
            vfsmount: read(fs, offsets.fs_root + offsets.path_mnt),
            dentry: read(fs, offsets.fs_root + offsets.path_dentry),
        }
    }

    /// The root of the running process.
    #[inline(always)]
    pub(crate) fn current_root(offsets: &KernelOffsets) -> Self {
        // SAFETY: the helper takes nothing and returns the running task.
        Self::root_of(unsafe { bpf_get_current_task() }, offsets)
    }

    /// The entry above the file system that begins here, if one does: where it is mounted.
    ///
    /// Without a branch: each would be one more path for the verifier through all that follows.
    #[inline(always)]
    pub(crate) fn below_mount(self, offsets: &KernelOffsets) -> Self {
        let mount_root: u64 = read(self.vfsmount, offsets.vfsmount_root);
        let mount = self.vfsmount.wrapping_sub(u64::from(offsets.mount_mnt));
        let parent: u64 = read(mount, offsets.mount_parent);
        let begins = same(self.dentry, mount_root) & !same(parent, mount) & !same(parent, 0);
        let point: u64 = read(mount, offsets.mount_mountpoint);
        let above = parent.wrapping_add(u64::from(offsets.mount_mnt));
        Self {
            vfsmount: above & begins | self.vfsmount & !begins,
            dentry: point & begins | self.dentry & !begins,
        }
    }

    /// The name of the entry.
    #[inline(always)]
    pub(crate) fn name(self, offsets: &KernelOffsets) -> Name {
        let mut name = Name::default();
        let source: u64 = read(self.dentry, offsets.dentry_name);
        // SAFETY: the helper checks the source itself; the destination is as long as what is asked for.
        unsafe {
            bpf_probe_read_kernel_str(
                name.as_mut_ptr().cast(),
                size_of::<Name>() as u32,
                source as *const c_void,
            );
        }
        name
    }
}

/// All ones where two numbers are the same, else all zeros.
#[inline(always)]
pub(crate) fn same(a: u64, b: u64) -> u64 {
    differ(a, b).wrapping_sub(1)
}

/// 1 where two numbers are not the same, else 0.
#[inline(always)]
pub(crate) fn differ(a: u64, b: u64) -> u64 {
    let bits = a ^ b;
    let highest;
    // By hand: the compiler would make branches of it, and the verifier two paths of each.
    // SAFETY: arithmetic on registers. Zero alone has no highest bit in itself or its negative.
    unsafe {
        core::arch::asm!(
            "{highest} = {bits}",
            "{highest} = -{highest}",
            "{highest} |= {bits}",
            "{highest} >>= 63",
            bits = in(reg) bits,
            highest = out(reg) highest,
            options(pure, nomem, nostack),
        );
    }
    highest
}

/// 1 where a number is less than another, both below 2^63, else 0.
#[inline(always)]
pub(crate) fn less(a: u64, b: u64) -> u64 {
    let mut difference = a.wrapping_sub(b);
    // By hand, as above.
    // SAFETY: arithmetic on a register.
    unsafe {
        core::arch::asm!(
            "{difference} >>= 63",
            difference = inout(reg) difference,
            options(pure, nomem, nostack),
        );
    }
    difference
}

/// Writes the components of a path, the file name first, through mounts, as the kernel's `prepend_path` does
/// (`fs/d_path.c`); says how many, and whether the walk ended at the root.
#[inline(always)]
pub(crate) fn write(
    path: &mut [[u8; COMPONENT_BYTES]; PATH_COMPONENTS],
    mut at: Place,
    root: Place,
    offsets: &KernelOffsets,
) -> (u32, u32) {
    let mut components = 0;
    for component in path {
        // Two mounts may end at the same directory; more than that is not followed.
        for _ in 0..2 {
            if same(at.dentry, root.dentry) & same(at.vfsmount, root.vfsmount) != 0 {
                return (components, 1);
            }
            at = at.below_mount(offsets);
        }
        let parent: u64 = read(at.dentry, offsets.dentry_parent);
        if parent == at.dentry {
            return (components, 1);
        }
        let name: u64 = read(at.dentry, offsets.dentry_name);
        // SAFETY: the helper checks the source itself; the destination is a part of the map's value.
        unsafe {
            bpf_probe_read_kernel_str(
                component.as_mut_ptr().cast(),
                component.len() as u32,
                name as *const c_void,
            );
        }
        components += 1;
        at.dentry = parent;
    }
    (components, 0)
}
