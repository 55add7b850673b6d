//! Who it is: reads the running task. Only for hooks in process context.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid,
    generated::{bpf_get_current_ancestor_cgroup_id, bpf_get_current_task, bpf_probe_read_kernel},
};
use weir_ebpf::{
    process::{CGROUP_LEVELS, COMM_BYTES, KernelOffsets, Process, ProcessKey},
    socket::{SocketTag, flags},
};

use crate::{
    account, lineage,
    maps::{BLANK_PROCESS, CGROUPS, CurrentPod, PROCESSES, offsets},
    paths::{self, Place},
};

/// The id of the running process, which is that of its thread group.
#[inline(always)]
pub(crate) fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// How the container of the running process is learned.
#[derive(Clone, Copy)]
pub(crate) enum Container {
    /// From the kernel, which tells the hooks of a cgroup.
    Ask,
    /// It is the cgroup with this id.
    Known(u64),
}

/// The execution that a task is in.
#[inline(always)]
pub(crate) fn key(task: u64, leader: u64, offsets: &KernelOffsets) -> ProcessKey {
    ProcessKey {
        start_ns: read(leader, offsets.task_start_boottime),
        tgid: read(task, offsets.task_tgid),
        exec_id: read(task, offsets.task_self_exec_id),
    }
}

/// Writes the running process into the tag, and remembers its binary and ancestry.
#[inline(always)]
pub(crate) fn sign(pod: &CurrentPod, tag: &mut SocketTag, container: Container) {
    let offsets = offsets();
    let tgid = current_tgid();
    if offsets.usable == 0 {
        tag.process = ProcessKey { start_ns: 0, tgid, exec_id: 0 };
        tag.comm = bpf_get_current_comm().unwrap_or_default();
        return;
    }
    // SAFETY: the helper takes nothing and returns the running task.
    let task = unsafe { bpf_get_current_task() };
    let leader: u64 = read(task, offsets.task_group_leader);
    let process = ProcessKey {
        start_ns: read(leader, offsets.task_start_boottime),
        tgid,
        exec_id: read(task, offsets.task_self_exec_id),
    };
    if process != tag.process || tag.comm == [0; COMM_BYTES] {
        tag.process = process;
        tag.comm = read(leader, offsets.task_comm);
        tag.flags &= !flags::BY_LSM;
        remember(pod, &process, task, leader, offsets, container);
    }
}

/// Fills in the table of processes, once for each execution.
#[inline(always)]
fn remember(
    pod: &CurrentPod,
    key: &ProcessKey,
    task: u64,
    leader: u64,
    offsets: &KernelOffsets,
    place: Container,
) {
    let Some(processes) = PROCESSES.get(pod.slot) else { return };
    if processes.get_ptr(key).is_some() {
        return;
    }
    let Some(blank) = BLANK_PROCESS.get(0) else { return };
    // Without room a record lacks a name, never a verdict.
    let written = processes.insert(key, blank, 0).is_ok();
    if let Some(counters) = account::counters(pod) {
        // SAFETY: fields of a live map value.
        let counter = unsafe {
            if written {
                &raw mut (*counters).processes
            } else {
                &raw mut (*counters).lost_processes
            }
        };
        account::add(counter, 1);
    }
    let Some(process) = processes.get_ptr_mut(key) else { return };
    // SAFETY: the kernel returned it for this run; only this path writes to an entry, and readers
    // wait for `ready`.
    let process = unsafe { &mut *process.cast::<Process>() };
    process.comm = read(leader, offsets.task_comm);
    lineage::tell(process, key, leader, pod.slot);
    executable(process, task, offsets);
    process.container = match place {
        Container::Ask => container(pod),
        Container::Known(container) => container,
    };
    process.ready = 1;
}

/// The cgroup right below the pod's in which the running process is.
///
/// Without a branch, as [`read`] is: each would be one more path through the rest.
#[inline(always)]
fn container(pod: &CurrentPod) -> u64 {
    // An id is never 0, so that nothing is below the cgroup of a pod without one.
    let pods = CGROUPS.get(pod.slot).copied().unwrap_or(u64::MAX);
    let mut container = 0;
    let mut is_below = 0_u64;
    for level in 1..=CGROUP_LEVELS {
        // SAFETY: the helper takes a number, and gives 0 for a level below that of the process.
        let id = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        container |= id & is_below;
        let differs = id ^ pods;
        is_below = ((differs | differs.wrapping_neg()) >> 63).wrapping_sub(1);
    }
    container
}

#[inline(always)]
fn executable(process: &mut Process, task: u64, offsets: &KernelOffsets) {
    let mm: u64 = read(task, offsets.task_mm);
    let file: u64 = read(mm, offsets.mm_exe_file);
    if file == 0 {
        return;
    }
    let (at, root) = (Place::of_file(file, offsets), Place::root_of(task, offsets));
    (process.components, process.path_complete) =
        paths::write(&mut process.path, at, root, offsets);
}

/// An argument of a hook as a number: as a pointer the verifier lets nothing be computed with it.
#[inline(always)]
pub(crate) fn argument(ctx: &impl EbpfContext, index: u32) -> u64 {
    read(ctx.as_ptr() as u64, index * size_of::<u64>() as u32)
}

/// Reads a value at an offset in a kernel structure; zero when the address cannot be read.
///
/// Without a branch: the helper zeroes what it cannot read, and each branch here would be one more path
/// for the verifier through every read that follows (it took a second for each program).
#[inline(always)]
pub(crate) fn read<T: Default>(base: u64, offset: u32) -> T {
    let mut value = T::default();
    let source = base.wrapping_add(u64::from(offset)) as *const c_void;
    // SAFETY: the destination is as long as what is asked for; the helper checks the source and fails
    // rather than fault.
    unsafe {
        bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, source);
    }
    value
}
