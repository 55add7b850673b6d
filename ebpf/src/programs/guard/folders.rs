//! Folders that were renamed: a file below one is a credential by the path that it had before.

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, btf_maps::HashMap, macros::btf_map};
use weir_ebpf::credential::{COMPONENTS, FileKey, WatchedFolder};

use super::{
    files::key_of,
    patterns::{self, OTHER},
};
use crate::{attribution::read, maps::guard_offsets, paths::Place};

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

/// A folder is about to have another name: writes down which patterns it agrees with, at every depth that it could have
/// above a file. Returns one of them if there is no room, or [`OTHER`].
#[inline(never)]
pub(super) fn remember(dentry: u64, slot: u32) -> u32 {
    let more = guard_offsets();
    let inode: u64 = read(dentry, more.dentry_inode);
    let of_what: u16 = read(inode, more.inode_mode);
    if of_what & TYPE != DIRECTORY {
        return OTHER;
    }
    let Some(patterns) = patterns::of(slot) else { return OTHER };
    let key = key_of(inode, slot);
    let at = Place { vfsmount: 0, dentry };
    // By hand, since a loop of so few turns is one that kernels up to 6.1 refuse.
    let first = patterns::above_file::<1>(patterns, &at, slot) as u32;
    let second = patterns::above_file::<2>(patterns, &at, slot) as u32;
    let third = patterns::above_file::<3>(patterns, &at, slot) as u32;
    let fourth = patterns::above_file::<4>(patterns, &at, slot) as u32;
    let fifth = patterns::above_file::<5>(patterns, &at, slot) as u32;
    let all = first | second | third | fourth | fifth;
    if all == 0 {
        return OTHER;
    }
    let Some(known) = WATCHED_FOLDERS.get_ptr_mut(key) else {
        let agreed = [0, first, second, third, fourth, fifth];
        let kept = WATCHED_FOLDERS.insert(key, WatchedFolder { agreed }, 0);
        return if kept.is_ok() { OTHER } else { all.trailing_zeros() };
    };
    // SAFETY: the kernel returned it for this run; a bit that is set by two CPUs at once is set.
    let [_file, known_first, known_second, known_third, known_fourth, known_fifth] =
        unsafe { &mut (*known).agreed };
    *known_first |= first;
    *known_second |= second;
    *known_third |= third;
    *known_fourth |= fourth;
    *known_fifth |= fifth;
    OTHER
}

/// Whether it was renamed and agreed with a pattern.
#[inline(always)]
pub(super) fn is_known(key: &FileKey) -> bool {
    WATCHED_FOLDERS.get_ptr(key).is_some()
}

/// There is no such folder any more.
#[inline(always)]
pub(super) fn forget(key: &FileKey) {
    let _gone = WATCHED_FOLDERS.remove(key);
}

/// The patterns that agreed with a folder so far above a file when it had another name, as one bit of each.
#[inline(always)]
pub(super) fn agreed(dentry: u64, depth: u32, slot: u32) -> u64 {
    let inode: u64 = read(dentry, guard_offsets().dentry_inode);
    let Some(folder) = WATCHED_FOLDERS.get_ptr(key_of(inode, slot)) else { return 0 };
    let depth = depth as usize;
    if depth >= COMPONENTS {
        return 0;
    }
    // SAFETY: the depth is inside the array, of a live map value.
    unsafe { *(&raw const (*folder).agreed).cast::<u32>().add(depth) }.into()
}
