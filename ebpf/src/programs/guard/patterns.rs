//! Paths by the patterns of a profile, all of them at once.

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, btf_maps::HashMap, macros::btf_map};
use weir_ebpf::{
    credential::{self, COMPONENTS, Name, PATTERNS, PathPattern, PathPatterns, Walk},
    pod::SLOTS,
    process::KernelOffsets,
};

use super::folders;
use crate::{
    attribution::read,
    maps::offsets,
    paths::{Place, differ, less, same},
};

/// The paths that each pod's profile watches, by slot.
#[btf_map]
static WATCHED_PATHS: HashMap<u32, PathPatterns, SLOTS, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// What an opened file is to its pod, beside a pattern's number or a kind: nothing that is looked for.
pub(super) const OTHER: u32 = u32::MAX;

/// The patterns of a slot's profile, if it watches any path.
#[inline(always)]
pub(super) fn of(slot: u32) -> Option<*const PathPatterns> {
    WATCHED_PATHS.get_ptr(slot)
}

/// The pattern that a path agrees with, or [`OTHER`].
#[inline(never)]
pub(super) fn find(patterns: *const PathPatterns, at: &Place, root: &Place, slot: u32) -> u32 {
    let at = at.below_mount(offsets());
    let open = open::<0>(patterns, &at);
    let found = if open == 0 { 0 } else { lead_up::<0>(patterns, open, &at, root, slot) };
    // Arithmetic: which one it is the verifier does not know, and so it goes through what follows once.
    if found == 0 { OTHER } else { found.trailing_zeros() }
}

/// The patterns that agree with a folder, as one that is so far above a file, and with what is above it.
#[inline(never)]
pub(super) fn above_file<const DEPTH: usize>(
    patterns: *const PathPatterns,
    folder: &Place,
    slot: u32,
) -> u64 {
    let shorter = those(patterns, |pattern| less(u64::from(pattern.count), DEPTH as u64 + 1));
    let open = open::<DEPTH>(patterns, folder) & !shorter;
    lead_up::<DEPTH>(patterns, open, folder, &Place::NOWHERE, slot)
}

/// The patterns of which the component at `DEPTH` agrees with a name.
#[inline(never)]
fn open<const DEPTH: usize>(patterns: *const PathPatterns, at: &Place) -> u64 {
    // SAFETY: words of a live map value.
    let count = unsafe { (*patterns).count };
    agreeing(patterns, DEPTH as u64, &at.name(offsets())) & credential::first(count)
}

/// Which of the patterns `open`, of which the component at `DEPTH` agrees with the name of an entry, agree with it further up.
///
/// All of them at once, and each folder once: the verifier would follow each pattern's walk by itself.
#[inline(never)]
fn lead_up<const DEPTH: usize>(
    patterns: *const PathPatterns,
    open: u64,
    at: &Place,
    root: &Place,
    slot: u32,
) -> u64 {
    let (offsets, mut at) = (offsets(), *at);
    let anywhere = !those(patterns, |pattern| differ(u64::from(pattern.anchored), 0));
    let mut walk = Walk::new(open);
    let rise = |walk: &mut Walk, at: &Place, depth: u64| {
        let (parent, at_root) = above(at, root, offsets);
        let others = those(patterns, |pattern| differ(u64::from(pattern.count), depth));
        walk.rise(!others, anywhere, at_root);
        parent
    };
    // Not written into the loop: laid out so that its end falls into its head, which kernels up to 6.1 refuse (`back-edge`).
    let turn = |walk: &mut Walk, at: &mut Place, depth: u64| {
        at.dentry = rise(walk, at, depth);
        *at = at.below_mount(offsets);
        walk.arrive(folders::agreed(at.dentry, depth as u32, slot));
        walk.meet(agreeing(patterns, depth, &at.name(offsets)));
    };
    for depth in DEPTH as u64 + 1..COMPONENTS as u64 {
        turn(&mut walk, &mut at, depth);
    }
    rise(&mut walk, &at, COMPONENTS as u64);
    walk.found()
}

/// The patterns of which the component at `depth` agrees with a name; those beyond the last one among them.
#[inline(always)]
fn agreeing(patterns: *const PathPatterns, depth: u64, name: &Name) -> u64 {
    !those(patterns, |pattern| {
        // SAFETY: callers ask for components below their number, of a live map value.
        let component = unsafe { &*pattern.components.as_ptr().add(depth as usize) };
        differ(component.differs(name), 0)
    })
}

/// The patterns of which `is` says 1 and not 0, as one bit of each.
#[inline(always)]
fn those(patterns: *const PathPatterns, is: impl Fn(&PathPattern) -> u64) -> u64 {
    let mut set = 0;
    for index in 0..PATTERNS {
        // SAFETY: below the length of the array, of a live map value.
        let pattern =
            unsafe { &*(&raw const (*patterns).patterns).cast::<PathPattern>().add(index) };
        set |= is(pattern) << index;
    }
    set
}

/// The entry above another, and whether it is the root: by mounts that of the process, else that of the file system.
#[inline(always)]
fn above(at: &Place, root: &Place, offsets: &KernelOffsets) -> (u64, u64) {
    let parent: u64 = read(at.dentry, offsets.dentry_parent);
    let above: u64 = read(parent, offsets.dentry_parent);
    let by_mounts = same(parent, root.dentry) & same(at.vfsmount, root.vfsmount);
    (parent, by_mounts | same(at.vfsmount, 0) & same(above, parent))
}
