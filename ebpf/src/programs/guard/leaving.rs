//! `inode_unlink`, `inode_rmdir` and `inode_free_security`: a credential file is one until there is no such file, and a folder
//! alike. What takes a name away asks before it does, and may fail then; that it went is known when the kernel frees it.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::HashMap,
    macros::{btf_map, lsm},
    programs::LsmContext,
};
use weir_ebpf::credential::FileKey;

use super::{files, folders};
use crate::{
    attribution::{argument, read},
    maps::guard_offsets,
    subject::{PASS, Subject},
};

/// Files and folders of all pods of a node that somebody took a name away from, and that are still there.
const LEAVING_COUNT: usize = 4096;

/// Which those are, by the addresses of their inodes in the kernel. The next agent has a table of its own: what is leaving then
/// is a credential for as long as its pod lives.
#[btf_map]
static LEAVING: HashMap<u64, FileKey, LEAVING_COUNT, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[lsm(hook = "inode_unlink")]
pub(crate) fn weir_inode_unlink(ctx: LsmContext) -> i32 {
    if let Some(subject) = Subject::watching() {
        begin(argument(&ctx, 1), subject.pod.slot);
    }
    PASS
}

#[lsm(hook = "inode_rmdir")]
pub(crate) fn weir_inode_rmdir(ctx: LsmContext) -> i32 {
    if let Some(subject) = Subject::watching() {
        begin(argument(&ctx, 1), subject.pod.slot);
    }
    PASS
}

/// Called for each inode of the machine, whoever lets go of it.
#[lsm(hook = "inode_free_security")]
pub(crate) fn weir_inode_free(ctx: LsmContext) -> i32 {
    let inode = argument(&ctx, 0);
    let Some(key) = LEAVING.get_ptr(inode) else { return PASS };
    // SAFETY: the kernel returned it for this run.
    let key = unsafe { *key };
    let _gone = LEAVING.remove(inode);
    let links: u32 = read(inode, guard_offsets().inode_links);
    // One that has names is only out of memory.
    if links == 0 {
        files::forget(&key);
        folders::forget(&key);
    }
    PASS
}

/// An entry of a folder is about to lose its name, and with its last one its inode's number will be another's.
#[inline(always)]
pub(super) fn begin(dentry: u64, slot: u32) {
    let inode: u64 = read(dentry, guard_offsets().dentry_inode);
    let key = files::key_of(inode, slot);
    if files::is_known(&key) || folders::is_known(&key) {
        // Without room it is one for as long as the pod lives.
        let _full = LEAVING.insert(inode, key, 0);
    }
}
