//! `sched_process_fork` or `sched_wakeup_new`, `sched_process_exec`, `sched_process_exit`, `sched_process_free`: the
//! processes of pods from their first instruction to their end.
//!
//! From Linux 7.0 on a program at a tracepoint may be preempted (commit a46023d5616e), and the kernel calls it for nobody
//! else on that CPU until it goes on: whole crowds of processes are born, or end, without it. So births are seen where
//! interrupts are off, an end that was missed is made up for, and what was kept of an earlier `execve` is not told of a
//! later one.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap},
    helpers::generated::{bpf_get_current_task, bpf_probe_read_user},
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use weir_ebpf::{
    lineage::{
        ARGUMENT_BYTES, DIGEST_START, Lineage, Member, PROCESSES as PROCESS_COUNT, digest, flags,
        place,
    },
    pod::SLOTS,
    process::{ANCESTORS, Ancestor, Process, ProcessKey},
};

use crate::{
    account,
    attribution::{self, current_tgid, read},
    maps::{CGROUPS, COUNTERS, guard_offsets, offsets, process_limits, sees_birth_at},
    members,
};

/// The processes of all pods, by their ids.
#[btf_map]
static LINEAGE: HashMap<u32, Lineage, PROCESS_COUNT, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// A zeroed process: the entry is inserted from here and filled in place, too large for the stack.
#[btf_map]
static BLANK_LINEAGE: Array<Lineage, 1> = Array::new();

/// How many of them are each slot's, and at slot 0, which is no pod's, all.
#[btf_map]
static PROCESS_COUNTS: Array<u64, SLOTS> = Array::new();

/// Whose a process is.
pub(crate) enum Kept {
    /// Nobody's.
    Stranger,
    /// A pod's, and it found no room.
    Unkept,
    /// A pod's.
    As(*mut Lineage),
}

impl Kept {
    /// What is kept of it.
    #[inline(always)]
    pub(crate) fn lineage(self) -> Option<*mut Lineage> {
        match self {
            Self::As(lineage) => Some(lineage),
            Self::Stranger | Self::Unkept => None,
        }
    }
}

/// A process, if it is a pod's.
#[inline(always)]
pub(crate) fn of(tgid: u32) -> Option<*mut Lineage> {
    LINEAGE.get_ptr_mut(tgid)
}

/// The running process, if it is a pod's; one that has run since before the hooks is written down now.
#[inline(always)]
pub(crate) fn of_current() -> Kept {
    let tgid = current_tgid();
    if let Some(known) = of(tgid) {
        return Kept::As(known);
    }
    let Some(member) = members::of_current() else { return Kept::Stranger };
    // SAFETY: the helper takes nothing and returns the running task.
    let task = unsafe { bpf_get_current_task() };
    find(task, tgid, member, Executes::Not).map_or(Kept::Unkept, Kept::As)
}

/// Whether the pod in a slot may start another process.
#[inline(always)]
pub(crate) fn has_room(slot: u32) -> bool {
    process_limits().admits(number(slot), number(0))
}

/// How many processes are a slot's; all at slot 0.
#[inline(always)]
fn number(slot: u32) -> u64 {
    PROCESS_COUNTS.get(slot).copied().unwrap_or(0)
}

/// Keeps a process of a slot, if there is room, with what is written of it for a start.
#[inline(always)]
fn keep(tgid: u32, slot: u32, start: &Lineage) -> Option<*mut Lineage> {
    let is_room = process_limits().keeps(number(0));
    if is_room && LINEAGE.insert(tgid, start, u64::from(BPF_NOEXIST)).is_ok() {
        count(slot, 1);
    } else if of(tgid).is_none() {
        // No other thread of the process was first: there is no room.
        lose(slot);
    }
    of(tgid)
}

/// Forgets a process.
#[inline(always)]
fn forget(tgid: u32) {
    let Some(known) = of(tgid) else { return };
    // SAFETY: a word of a live map value.
    let slot = unsafe { (*known).slot };
    if LINEAGE.remove(tgid).is_ok() {
        count(slot, u64::MAX);
    }
}

/// Adds to the counts of a slot and of all; -1 as the number that it is without a sign.
#[inline(always)]
fn count(slot: u32, amount: u64) {
    for slot in [slot, 0] {
        if let Some(count) = PROCESS_COUNTS.get_ptr_mut(slot) {
            account::add(count, amount);
        }
    }
}

/// Before Linux 7.0. This tracepoint is the cheaper one, and up to 6.0 the only one: there a table that allocates must not
/// be written to under the lock of a run queue.
#[btf_tracepoint(function = "sched_process_fork")]
pub(crate) fn weir_fork(ctx: BtfTracePointContext) -> i32 {
    born(ctx.arg(1));
    0
}

/// From Linux 7.0 on. The child is on a run queue whose lock is held, so that nothing preempts.
#[btf_tracepoint(function = "sched_wakeup_new")]
pub(crate) fn weir_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    born(ctx.arg(0));
    0
}

/// Keeps the child of the running process, which does not run yet, if its parent is a pod's.
#[inline(always)]
fn born(child: u64) {
    let (offsets, more) = (offsets(), guard_offsets());
    let tgid: u32 = read(child, offsets.task_tgid);
    let pid: u32 = read(child, more.task_pid);
    if tgid != pid {
        // A thread.
        return;
    }
    // What had this id before ended unseen.
    forget(tgid);
    let Some(parent) = of_current().lineage() else { return };
    // SAFETY: the kernel returned it for this run; what another CPU writes to it meanwhile is its flags.
    let parent = unsafe { &*parent };
    if !has_room(parent.slot) {
        // No hook was there to refuse it, or none that may.
        lose(parent.slot);
        return;
    }
    let Some(entry) = keep(tgid, parent.slot, parent) else { return };
    // SAFETY: as above; the child does not run yet.
    let entry = unsafe { &mut *entry };
    // SAFETY: the helper takes nothing and returns the running task.
    let task = unsafe { bpf_get_current_task() };
    entry.process = ProcessKey {
        start_ns: read(child, offsets.task_start_boottime),
        tgid,
        exec_id: read(child, offsets.task_self_exec_id),
    };
    descend(entry, parent, read(task, offsets.task_group_leader));
}

/// Makes a process, which has what is kept of its parent, the child of it; `leader` is the parent's first thread.
#[inline(always)]
fn descend(entry: &mut Lineage, parent: &Lineage, leader: u64) {
    if parent.flags & flags::FROM_OUTSIDE != 0 {
        return;
    }
    let comm = read(leader, offsets().task_comm);
    let ancestor = Ancestor { comm, tgid: parent.process.tgid };
    // SAFETY: the place is inside the array, whatever the depth is.
    unsafe { *(&raw mut entry.ancestors).cast::<Ancestor>().add(place(parent.depth)) = ancestor };
    entry.depth = parent.depth.wrapping_add(1);
}

#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn weir_exec(ctx: BtfTracePointContext) -> i32 {
    let offsets = offsets();
    let task: u64 = ctx.arg(0);
    let tgid = current_tgid();
    let known = of(tgid).or_else(|| {
        members::of_current().and_then(|member| find(task, tgid, member, Executes::Now))
    });
    let Some(entry) = known else { return 0 };
    // SAFETY: the kernel returned it for this run; the only thread of the process is here.
    let entry = unsafe { &mut *entry };
    entry.process.exec_id = read(task, offsets.task_self_exec_id);
    entry.comm = read(task, offsets.task_comm);
    entry.arguments = arguments(task);
    entry.flags &= !flags::FROM_OUTSIDE;
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn weir_exit(ctx: BtfTracePointContext) -> i32 {
    let (offsets, more) = (offsets(), guard_offsets());
    let task: u64 = ctx.arg(0);
    let tgid: u32 = read(task, offsets.task_tgid);
    if of(tgid).is_none() {
        return 0;
    }
    let signal: u64 = read(task, more.task_signal);
    // Counted down before (`do_exit`): 0 with the last thread.
    let live: u32 = read(signal, more.signal_live);
    if live == 0 {
        forget(tgid);
    }
    0
}

/// From Linux 7.0 on. When nothing is left of a task, some time after its end: forgets a process that ended unseen.
#[btf_tracepoint(function = "sched_process_free")]
pub(crate) fn weir_free(ctx: BtfTracePointContext) -> i32 {
    let (offsets, more) = (offsets(), guard_offsets());
    let task: u64 = ctx.arg(0);
    let tgid: u32 = read(task, offsets.task_tgid);
    let Some(known) = of(tgid) else { return 0 };
    let pid: u32 = read(task, more.task_pid);
    if tgid != pid {
        // A thread, of which its process may live on.
        return 0;
    }
    let start_ns: u64 = read(task, offsets.task_start_boottime);
    // SAFETY: a word of a live map value.
    if unsafe { (*known).process.start_ns } == start_ns {
        // No other has the id by now.
        forget(tgid);
    }
    0
}

/// Whether a process executes a program, so that what it was before is not the pod's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Executes {
    Now,
    Not,
}

/// Writes down a process that was not when it was born: as its parent's child where the parent is known, as one that found
/// no room then; with the ancestors that it has now, if it has run since before the hooks; else as one from outside.
#[inline(always)]
fn find(task: u64, tgid: u32, member: Member, executes: Executes) -> Option<*mut Lineage> {
    let offsets = offsets();
    let leader: u64 = read(task, offsets.task_group_leader);
    let parent: u64 = read(leader, offsets.task_real_parent);
    let parent: u64 = read(parent, offsets.task_group_leader);
    let known = of_slot(parent, member.slot);
    let start = match known {
        Some(known) => known,
        None => BLANK_LINEAGE.get(0)?,
    };
    let found = keep(tgid, member.slot, start)?;
    // SAFETY: the kernel returned it for this run; of two threads that find their process at once both write the same.
    let entry = unsafe { &mut *found };
    entry.pod = CGROUPS.get(member.slot).copied().unwrap_or(0);
    entry.container = member.container;
    entry.slot = member.slot;
    entry.process = attribution::key(task, leader, offsets);
    entry.comm = read(leader, offsets.task_comm);
    // Of which execution the parent's are is not known.
    entry.arguments = 0;
    if let Some(known) = known {
        descend(entry, known, parent);
    } else if executes == Executes::Now {
        // Who brought it here is not the pod's.
    } else if sees_birth_at(entry.process.start_ns) {
        entry.flags |= flags::FROM_OUTSIDE;
    } else {
        entry.depth = ANCESTORS as u32;
        let mut task = leader;
        for ancestor in &mut entry.ancestors {
            let parent: u64 = read(task, offsets.task_real_parent);
            let parent: u64 = read(parent, offsets.task_group_leader);
            ancestor.comm = read(parent, offsets.task_comm);
            ancestor.tgid = read(parent, offsets.task_tgid);
            task = parent;
        }
    }
    Some(found)
}

/// What is kept of the process that `leader` is the first thread of, if it is the slot's.
#[inline(always)]
fn of_slot(leader: u64, slot: u32) -> Option<&'static Lineage> {
    let offsets = offsets();
    let known = of(read(leader, offsets.task_tgid))?;
    // SAFETY: the kernel returned it for this run. It may end on another CPU meanwhile, and in the worst case give its
    // room to another process: plain data, whatever is read.
    let known = unsafe { &*known };
    let start_ns: u64 = read(leader, offsets.task_start_boottime);
    (known.slot == slot && known.process.start_ns == start_ns).then_some(known)
}

/// Gives a process of a slot that is remembered, and of which `leader` is the first thread, its arguments and ancestors:
/// those that it really had, and where nothing is kept of it the parents it has now, up to one of which something is.
#[inline(always)]
pub(crate) fn tell(process: &mut Process, key: &ProcessKey, leader: u64, slot: u32) {
    let offsets = offsets();
    let mut known = of_slot(leader, slot);
    if let Some(own) = known {
        if own.process.exec_id == key.exec_id {
            process.arguments = own.arguments;
        }
    } else {
        let mut task = leader;
        for ancestor in &mut process.ancestors {
            let parent: u64 = read(task, offsets.task_real_parent);
            let parent: u64 = read(parent, offsets.task_group_leader);
            let tgid: u32 = read(parent, offsets.task_tgid);
            if parent == 0 || parent == task || tgid == 0 {
                break;
            }
            known = of_slot(parent, slot);
            if known.is_some_and(|known| known.flags & flags::FROM_OUTSIDE != 0) {
                break;
            }
            ancestor.comm = read(parent, offsets.task_comm);
            ancestor.tgid = tgid;
            process.ancestor_count += 1;
            if known.is_some() {
                break;
            }
            task = parent;
        }
    }
    if let Some(known) = known {
        append(process, known);
    }
}

/// Adds the ancestors of one that is kept to those that a process has been given, as many as there is room for.
#[inline(always)]
fn append(process: &mut Process, known: &Lineage) {
    let count = &raw mut process.ancestor_count;
    let ancestors = (&raw mut process.ancestors).cast::<Ancestor>();
    for nth in 0..ANCESTORS as u32 {
        // SAFETY: a word of a live map value. Read anew each time it has a range that the verifier knows, and is no
        // constant, which would tell the paths that come here apart.
        let to = unsafe { count.read_volatile() } as usize;
        if nth >= known.depth || to >= ANCESTORS {
            break;
        }
        let from = place(known.depth.wrapping_sub(nth + 1));
        // SAFETY: the places are inside the arrays.
        unsafe {
            *ancestors.add(to) = *(&raw const known.ancestors).cast::<Ancestor>().add(from);
            count.write_volatile(to as u32 + 1);
        }
    }
}

/// The digest of a command line, as the process itself has it (`/proc/PID/cmdline`), its first bytes.
#[inline(always)]
fn arguments(task: u64) -> u64 {
    let mut bytes = MaybeUninit::<[u64; ARGUMENT_BYTES / 8]>::uninit();
    let words: *mut u64 = bytes.as_mut_ptr().cast();
    for at in 0..ARGUMENT_BYTES / 8 {
        // Word by word, since to zero an array is a loop over its bytes.
        // SAFETY: the place is inside the array.
        unsafe { words.add(at).write_volatile(0) };
    }
    let bytes: *mut u8 = words.cast();
    let (offsets, more) = (offsets(), guard_offsets());
    let mm: u64 = read(task, offsets.task_mm);
    let start: u64 = read(mm, more.mm_arg_start);
    let end: u64 = read(mm, more.mm_arg_end);
    let mut length = end.wrapping_sub(start);
    if length > ARGUMENT_BYTES as u64 {
        length = ARGUMENT_BYTES as u64;
    }
    // SAFETY: the destination has room for all that is asked for; the helper checks the source.
    let read = unsafe { bpf_probe_read_user(bytes.cast(), length as u32, start as *const c_void) };
    if read != 0 {
        return 0;
    }
    let mut sum = DIGEST_START;
    for at in 0..ARGUMENT_BYTES {
        if at as u64 >= length {
            break;
        }
        // SAFETY: the place is inside the array, all of which was written.
        sum = digest(sum, unsafe { bytes.add(at).read() });
    }
    sum
}

#[inline(always)]
fn lose(slot: u32) {
    if let Some(counters) = COUNTERS.get_ptr_mut(slot) {
        // SAFETY: a field of a live map value.
        account::add(unsafe { &raw mut (*counters).lost_processes }, 1);
    }
}
