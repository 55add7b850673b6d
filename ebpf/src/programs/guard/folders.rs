//! Folders that were renamed: a file below one is a credential by the path that it had before. `inode_rmdir`: a folder is one
//! as long as it is.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::HashMap,
    macros::{btf_map, lsm},
    programs::LsmContext,
};
use weir_ebpf::{
    credential::{COMPONENTS, FileKey, WatchedFolder},
    pod::flags,
};

use super::{files::file_key, patterns};
use crate::{
    attribution::{argument, read},
    maps::guard_offsets,
    paths::Place,
    subject::{PASS, Subject},
};

/// Such folders of all pods of a node.
const FOLDER_COUNT: usize = 4096;

/// `S_IFMT` and `S_IFDIR` (include/uapi/linux/stat.h).
const TYPE: u16 = 0o170_000;
const DIRECTORY: u16 = 0o040_000;

/// The folders that agreed with a pattern when they got another name.
#[btf_map]
static WATCHED_FOLDERS: HashMap<
    FileKey,
    WatchedFolder,
    FOLDER_COUNT,
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[lsm(hook = "inode_rmdir")]
pub(crate) fn weir_inode_rmdir(ctx: LsmContext) -> i32 {
    forget(argument(&ctx, 1));
    PASS
}

/// A folder is about to have another name: writes down which patterns it agrees with, at every depth that it could have
/// above a file.
#[inline(never)]
pub(super) fn remember(dentry: u64) {
    let Some(key) = key_of_watched(dentry) else { return };
    let Some(patterns) = patterns::of(key.slot) else { return };
    let at = Place { vfsmount: 0, dentry };
    // By hand, since a loop of so few turns is one that kernels up to 6.1 refuse.
    let first = patterns::above_file::<1>(patterns, &at, key.slot) as u32;
    let second = patterns::above_file::<2>(patterns, &at, key.slot) as u32;
    let third = patterns::above_file::<3>(patterns, &at, key.slot) as u32;
    let fourth = patterns::above_file::<4>(patterns, &at, key.slot) as u32;
    let fifth = patterns::above_file::<5>(patterns, &at, key.slot) as u32;
    if first | second | third | fourth | fifth == 0 {
        return;
    }
    let Some(known) = WATCHED_FOLDERS.get_ptr_mut(key) else {
        let agreed = [0, first, second, third, fourth, fifth];
        // Without room its files are found by the path that they have then.
        let _full = WATCHED_FOLDERS.insert(key, WatchedFolder { agreed }, 0);
        return;
    };
    // SAFETY: the kernel returned it for this run; a bit that is set by two CPUs at once is set.
    let [_file, known_first, known_second, known_third, known_fourth, known_fifth] =
        unsafe { &mut (*known).agreed };
    *known_first |= first;
    *known_second |= second;
    *known_third |= third;
    *known_fourth |= fourth;
    *known_fifth |= fifth;
}

/// A folder is about to end; its number will be another's.
#[inline(never)]
pub(super) fn forget(dentry: u64) {
    let Some(key) = key_of_watched(dentry) else { return };
    if WATCHED_FOLDERS.get_ptr(key).is_some() {
        let _gone = WATCHED_FOLDERS.remove(key);
    }
}

/// The patterns that agreed with a folder so far above a file when it had another name, as one bit of each.
#[inline(always)]
pub(super) fn agreed(dentry: u64, depth: u32, slot: u32) -> u64 {
    let Some(folder) = WATCHED_FOLDERS.get_ptr(key(dentry, slot)) else { return 0 };
    let depth = depth as usize;
    if depth >= COMPONENTS {
        return 0;
    }
    // SAFETY: the depth is inside the array, of a live map value.
    unsafe { *(&raw const (*folder).agreed).cast::<u32>().add(depth) }.into()
}

/// A folder, if the running process is of a pod that watches files.
#[inline(always)]
fn key_of_watched(dentry: u64) -> Option<FileKey> {
    let subject = Subject::known()?;
    if subject.pod.state.flags & flags::WATCHES_FILES == 0 {
        return None;
    }
    let more = guard_offsets();
    let inode: u64 = read(dentry, more.dentry_inode);
    let of_what: u16 = read(inode, more.inode_mode);
    (of_what & TYPE == DIRECTORY).then(|| key(dentry, subject.pod.slot))
}

#[inline(always)]
fn key(dentry: u64, slot: u32) -> FileKey {
    let more = guard_offsets();
    let inode: u64 = read(dentry, more.dentry_inode);
    file_key(slot, inode, read(inode, more.inode_super))
}
