//! `file_open`: who reads credential files, and who would leave the pod's cgroup by writing another's files. `inode_link` and
//! `inode_rename`: a credential file is one by whatever name.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap},
    helpers::generated::bpf_get_current_task,
    macros::{btf_map, lsm},
    programs::LsmContext,
};
use weir_ebpf::{
    address::{Address, Endpoint},
    credential::{FileKey, WatchedFile, kind},
    lineage::{Lineage, flags as lineage_flags, place},
    pod::flags,
    process::{ANCESTORS, Ancestor, KernelOffsets},
    reason::Reason,
};

use super::{
    folders, leaving,
    patterns::{self, OTHER},
};
use crate::{
    attribution::{argument, read},
    lineage,
    maps::{fired, guard_offsets, offsets},
    members,
    paths::{self, Place},
    subject::{PASS, Subject},
};

/// `CGROUP2_SUPER_MAGIC` and `PROC_SUPER_MAGIC` (include/uapi/linux/magic.h).
const CGROUP2: u64 = 0x6367_7270;
const PROC: u64 = 0x9fa0;

/// `FMODE_READ`, `FMODE_WRITE`, `FMODE_NOACCOUNT` (include/linux/fs.h). The last one is a file below an overlay, opened by the
/// kernel for one that was told of already.
const READ: u32 = 1;
const WRITE: u32 = 1 << 1;
const NOT_ACCOUNTED: u32 = 1 << 29;

/// Credential files of all pods of a node whose other names are known.
const FILE_COUNT: usize = 16_384;

/// Files that were found to be credentials.
#[btf_map]
static WATCHED_FILES: HashMap<FileKey, WatchedFile, FILE_COUNT, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// A zeroed file: the entry is inserted from here and filled in place, too large for the stack.
#[btf_map]
static BLANK_FILE: Array<WatchedFile, 1> = Array::new();

/// A file of a cgroup that is not the pod's, opened to be written.
const FOREIGN_CGROUP: u32 = u32::MAX - 1;
/// A file that may be a credential by its path.
const UNKNOWN: u32 = u32::MAX - 2;

// What takes room on the stack is in functions of their own, one after another: all that are under way share 512 bytes.
#[lsm(hook = "file_open")]
pub(crate) fn weir_file_open(ctx: LsmContext) -> i32 {
    fired();
    let Some(subject) = Subject::known() else { return PASS };
    let opened: u64 = ctx.arg(0);
    let mut key = FileKey::default();
    let mut pattern = classify(&subject, opened, &mut key);
    if pattern == UNKNOWN {
        pattern = look_for(&subject, opened, &key);
    }
    if pattern == OTHER {
        return PASS;
    }
    if pattern == FOREIGN_CGROUP {
        let what = Endpoint::new(Address([0; 4]), 0, 0);
        return tell(&subject, &what, Reason::CgroupLeft, true);
    }
    tell_of_read(&subject, &key, pattern)
}

#[lsm(hook = "inode_link")]
pub(crate) fn weir_inode_link(ctx: LsmContext) -> i32 {
    let Some(subject) = Subject::watching() else { return PASS };
    let linked = argument(&ctx, 0);
    let lost = remember(linked, subject.pod.slot);
    tell_of_lost(&subject, linked, lost)
}

#[lsm(hook = "inode_rename")]
pub(crate) fn weir_inode_rename(ctx: LsmContext) -> i32 {
    let Some(subject) = Subject::watching() else { return PASS };
    let (renamed, replaced) = (argument(&ctx, 1), argument(&ctx, 3));
    leaving::begin(replaced, subject.pod.slot);
    let mut lost = remember(renamed, subject.pod.slot);
    if lost == OTHER {
        lost = folders::remember(renamed, subject.pod.slot);
    }
    tell_of_lost(&subject, renamed, lost)
}

/// What a file is, as far as its path need not be known.
#[inline(never)]
fn classify(subject: &Subject, file: u64, key: &mut FileKey) -> u32 {
    let (offsets, more) = (offsets(), guard_offsets());
    let how: u32 = read(file, more.file_mode);
    if how & NOT_ACCOUNTED != 0 {
        return OTHER;
    }
    let at = Place::of_file(file, offsets);
    let inode: u64 = read(at.dentry, more.dentry_inode);
    let file_system: u64 = read(inode, more.inode_super);
    let magic: u64 = read(file_system, more.super_magic);
    if magic == CGROUP2 {
        let leaves = how & WRITE != 0
            && !subject.may_leave()
            && !is_own_cgroup(subject, at, offsets)
            && !gives_controllers(at, offsets);
        return if leaves { FOREIGN_CGROUP } else { OTHER };
    }
    if subject.pod.state.flags & flags::WATCHES_FILES == 0 || how & READ == 0 {
        return OTHER;
    }
    *key = key_of(inode, subject.pod.slot);
    if magic == PROC {
        let Some((process, kind)) = other_process(at, inode, offsets) else { return OTHER };
        key.inode = process;
        keep(key, &at, kind);
        return kind;
    }
    match WATCHED_FILES.get_ptr(*key) {
        // SAFETY: a word of a live map value.
        Some(file) => unsafe { (*file).pattern },
        None => UNKNOWN,
    }
}

/// The pattern that the path of a file agrees with, or [`OTHER`].
#[inline(never)]
fn look_for(subject: &Subject, file: u64, key: &FileKey) -> u32 {
    let offsets = offsets();
    let Some(patterns) = patterns::of(subject.pod.slot) else { return OTHER };
    let at = Place::of_file(file, offsets);
    let mut pattern = patterns::find(patterns, &at, &Place::current_root(offsets), key.slot);
    if pattern == OTHER {
        // A mount of the file or of a folder above it gives it another path, and not another place in its file system.
        pattern = patterns::find(patterns, &Place { vfsmount: 0, ..at }, &Place::NOWHERE, key.slot);
    }
    if pattern != OTHER {
        keep(key, &at, pattern);
    }
    pattern
}

/// Tells of a credential file that is read, and says what the hook returns.
#[inline(always)]
fn tell_of_read(subject: &Subject, key: &FileKey, pattern: u32) -> i32 {
    mark(subject.lineage);
    // The pattern stands where a port does.
    let what = Endpoint::new(key.to_address(), 0, pattern as u16);
    let refuses = subject.pod.state.flags & flags::BLOCKS_FILES != 0;
    tell(subject, &what, Reason::CredentialRead, refuses)
}

/// The same of what gets a name by which it would be found no more, unless it is [`OTHER`]: whoever fills the tables reads
/// nothing unseen by that.
#[inline(always)]
fn tell_of_lost(subject: &Subject, dentry: u64, pattern: u32) -> i32 {
    if pattern == OTHER {
        return PASS;
    }
    let inode: u64 = read(dentry, guard_offsets().dentry_inode);
    tell_of_read(subject, &key_of(inode, subject.pod.slot), pattern)
}

/// As [`Subject::tell`].
#[inline(never)]
fn tell(subject: &Subject, what: &Endpoint, reason: Reason, refuses: bool) -> i32 {
    subject.tell(*what, reason, refuses)
}

/// Whoever writes the files of a cgroup that is not below the pod's could move there, or stop what runs there.
#[inline(always)]
fn is_own_cgroup(subject: &Subject, at: Place, offsets: &KernelOffsets) -> bool {
    let more = guard_offsets();
    let folder: u64 = read(at.dentry, offsets.dentry_parent);
    let inode: u64 = read(folder, more.dentry_inode);
    // The number of a cgroup's inode is its id (`kernfs_ino`, 64-bit machines).
    let cgroup: u64 = read(inode, more.inode_number);
    members::of(cgroup).is_some_and(|member| member.slot == subject.pod.slot)
}

/// Whether it is the file by which a cgroup gives controllers to those below: a container runtime writes it in every
/// cgroup from the root to that of its container, and nobody moves by it.
#[inline(always)]
fn gives_controllers(at: Place, offsets: &KernelOffsets) -> bool {
    // `cgroup.subtree_control`; no other file of a cgroup begins with that.
    const BEGIN: [u64; 2] = [u64::from_ne_bytes(*b"cgroup.s"), u64::from_ne_bytes(*b"ubtree_c")];
    let [first, second, ..] = at.name(offsets);
    [first, second] == BEGIN
}

/// What a file or folder is known by.
#[inline(always)]
pub(super) fn key_of(inode: u64, slot: u32) -> FileKey {
    let more = guard_offsets();
    let file_system: u64 = read(inode, more.inode_super);
    FileKey {
        inode: read(inode, more.inode_number),
        device: read(file_system, more.super_device),
        slot,
    }
}

/// Whether it was found to be a credential.
#[inline(always)]
pub(super) fn is_known(key: &FileKey) -> bool {
    WATCHED_FILES.get_ptr(key).is_some()
}

/// There is no such file any more.
#[inline(always)]
pub(super) fn forget(key: &FileKey) {
    let _gone = WATCHED_FILES.remove(key);
}

/// Whether a file of `/proc` is the environment or the memory of another process: which (by its `struct pid`), and what.
#[inline(always)]
fn other_process(at: Place, inode: u64, offsets: &KernelOffsets) -> Option<(u64, u32)> {
    const ENVIRON: u64 = u64::from_ne_bytes(*b"environ\0");
    const MEM: u64 = u64::from_ne_bytes(*b"mem\0\0\0\0\0");
    let more = guard_offsets();
    let [name, ..] = at.name(offsets);
    let kind = match name {
        ENVIRON => kind::ENVIRONMENT,
        MEM => kind::MEMORY,
        _ => return None,
    };
    let inode = inode.wrapping_sub(u64::from(more.proc_inode));
    let process: u64 = read(inode, more.proc_pid);
    // SAFETY: the helper takes nothing and returns the running task.
    let task = unsafe { bpf_get_current_task() };
    let thread: u64 = read(task, more.task_thread_pid);
    let signal: u64 = read(task, more.task_signal);
    // The first is that of the thread, the second that of the thread group (`PIDTYPE_TGID`).
    let [_, group]: [u64; 2] = read(signal, more.signal_pids);
    (process != 0 && process != thread && process != group).then_some((process, kind))
}

/// Writes down a file with the path that it has now; whether there is room.
#[inline(never)]
fn keep(key: &FileKey, at: &Place, pattern: u32) -> bool {
    let offsets = offsets();
    if is_known(key) {
        return true;
    }
    let Some(blank) = BLANK_FILE.get(0) else { return false };
    // Without room it is told of all the same.
    let _full = WATCHED_FILES.insert(key, blank, 0);
    let Some(file) = WATCHED_FILES.get_ptr_mut(key) else { return false };
    // SAFETY: the kernel returned it for this run.
    let file = unsafe { &mut *file };
    file.pattern = pattern;
    let root = Place::current_root(offsets);
    (file.components, file.path_complete) = paths::write(&mut file.path, *at, root, offsets);
    true
}

/// A file is about to have another name: writes it down if it is a credential. Returns the pattern that its path agrees with
/// if there is no room, or [`OTHER`].
#[inline(always)]
fn remember(dentry: u64, slot: u32) -> u32 {
    let Some(patterns) = patterns::of(slot) else { return OTHER };
    let at = Place { vfsmount: 0, dentry };
    let found = patterns::find(patterns, &at, &Place::NOWHERE, slot);
    let inode: u64 = read(dentry, guard_offsets().dentry_inode);
    if found == OTHER || keep(&key_of(inode, slot), &at, found) { OTHER } else { found }
}

/// From now on this process and what it starts has read a credential, and so have those that started it, up to the first
/// process of the container, or of the command that was run in it: a job's script starts all of the job.
#[inline(always)]
fn mark(lineage: *mut Lineage) {
    // SAFETY: the kernel returned it for this run; a bit that is set by two CPUs at once is set.
    let lineage = unsafe { &mut *lineage };
    lineage.flags |= lineage_flags::CREDENTIAL_READ;
    let mut depth = lineage.depth;
    for _ in 0..ANCESTORS {
        depth = depth.wrapping_sub(1);
        if depth == 0 || depth > lineage.depth {
            break;
        }
        // SAFETY: the place is inside the array, whatever the depth is.
        let ancestor =
            unsafe { (&raw const lineage.ancestors).cast::<Ancestor>().add(place(depth)).read() };
        if let Some(ancestor) = lineage::of(ancestor.tgid) {
            // SAFETY: as above.
            unsafe { (*ancestor).flags |= lineage_flags::CREDENTIAL_READ };
        }
    }
}
