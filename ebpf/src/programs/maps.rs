//! The maps, and the pod that a program runs for.
use core::cell::Cell;

use aya_ebpf::{
    Global,
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, RingBuf},
    macros::btf_map,
};
use weir_ebpf::{
    address::Endpoint,
    flow::{Client, Event, Flow, FlowKey, WireFlow, WireKey},
    lineage::ProcessLimits,
    offsets::GuardOffsets,
    pod::{AllowEntry, EVENT_RING_BYTES, Network, NetworkKey, PodCounters, PodState, SLOTS, flags},
    process::{KernelOffsets, Process, ProcessKey},
};

use crate::storage::{CgroupSlot, SocketTags};

/// The slot of the pod whose cgroup the running program is attached to. Zero until it is written.
#[btf_map]
static SLOT: CgroupSlot = CgroupSlot::new();

/// The state of each pod.
#[btf_map]
pub(crate) static PODS: Array<PodState, SLOTS> = Array::new();

/// Id of each pod's cgroup.
#[btf_map]
pub(crate) static CGROUPS: Array<u64, SLOTS> = Array::new();

/// The slow paths' counters of each pod.
#[btf_map]
pub(crate) static COUNTERS: Array<PodCounters, SLOTS> = Array::new();

/// The value of a pod's table: one of `V`.
///
/// An array, because Linux 5.15 to 6.2 compare what they know of timers in a value when a map is put in the place of the
/// template (`bpf_map_meta_equal`, `timer_off`): of a structure that BTF describes they know that there is none, and of
/// anything else nothing, as of the maps that the agent makes without BTF.
type One<V> = [V; 1];

/// A pod's table whose memory grows with what it holds. It never evicts: the agent keeps it below its size.
type PodTable<K, V> = ArrayOfMaps<HashMap<K, One<V>, 16, { BPF_F_NO_PREALLOC as usize }>, SLOTS>;

/// A pod's table in which the oldest makes room for the newest.
type PodCache<K, V> = ArrayOfMaps<LruHashMap<K, One<V>, 16>, SLOTS>;

/// Each pod's own allow map; the inner size given here is a template, the agent makes the real ones.
#[btf_map]
pub(crate) static ALLOW: PodTable<Endpoint, AllowEntry> = ArrayOfMaps::new();

/// Each pod's own flow table.
#[btf_map]
pub(crate) static FLOWS: PodTable<FlowKey, Flow> = ArrayOfMaps::new();

/// Each pod's own table of processes that opened a socket, named while they live.
#[btf_map]
pub(crate) static PROCESSES: PodTable<ProcessKey, Process> = ArrayOfMaps::new();

/// Each pod's own table of flows that the second layer admitted.
#[btf_map]
pub(crate) static WIRE_FLOWS: PodCache<WireKey, WireFlow> = ArrayOfMaps::new();

/// The slot behind each device that the second layer guards, by the device's index.
#[btf_map]
pub(crate) static WIRES: HashMap<u32, u32, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Each pod's own table of who asked the resolver.
#[btf_map]
pub(crate) static CLIENTS: PodCache<Endpoint, Client> = ArrayOfMaps::new();

/// Trusted networks of all pods; the slot and bank lead every key.
#[btf_map]
pub(crate) static NETWORKS: LpmTrie<NetworkKey, Network, 65536> = LpmTrie::new();

/// A zeroed process: the entry is inserted from here and filled in place, too large for the stack.
#[btf_map]
pub(crate) static BLANK_PROCESS: Array<One<Process>, 1> = Array::new();

/// First sights of refused and audited flows; each pod has its share (`weir_ebpf::pod::has_share`).
#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, EVENT_RING_BYTES> = RingBuf::new();

/// How many events of each pod the agent has taken out of the ring: written by the agent alone, and beside
/// the counters, because a map's value is written whole from there.
#[btf_map]
pub(crate) static EVENTS_TAKEN: Array<u64, SLOTS> = Array::new();

/// Attribution and admission, in the socket itself.
#[btf_map]
pub(crate) static TAGS: SocketTags = SocketTags::new();

/// Offsets in kernel structures, set by the agent before loading.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<KernelOffsets> = Global::new(KernelOffsets {
    usable: 0,
    task_group_leader: 0,
    task_real_parent: 0,
    task_tgid: 0,
    task_comm: 0,
    task_start_boottime: 0,
    task_self_exec_id: 0,
    task_mm: 0,
    task_fs: 0,
    fs_root: 0,
    mm_exe_file: 0,
    file_path: 0,
    path_mnt: 0,
    path_dentry: 0,
    dentry_parent: 0,
    dentry_name: 0,
    vfsmount_root: 0,
    mount_mnt: 0,
    mount_parent: 0,
    mount_mountpoint: 0,
});

/// Offsets for the hooks that see the whole machine, set by the agent before loading.
#[unsafe(no_mangle)]
pub(crate) static GUARD_OFFSETS: Global<GuardOffsets> = Global::new(GuardOffsets {
    task_pid: 0,
    task_signal: 0,
    task_thread_pid: 0,
    signal_live: 0,
    signal_pids: 0,
    mm_arg_start: 0,
    mm_arg_end: 0,
    cgroup_self: 0,
    cgroup_node: 0,
    cgroup_root: 0,
    css_parent: 0,
    root_hierarchy: 0,
    node_id: 0,
    socket_sock: 0,
    sock_family: 0,
    program_type: 0,
    file_mode: 0,
    dentry_inode: 0,
    inode_super: 0,
    inode_number: 0,
    inode_links: 0,
    inode_mode: 0,
    super_magic: 0,
    super_device: 0,
    proc_pid: 0,
    proc_inode: 0,
});

/// How many processes pods may have, set by the agent before loading.
#[unsafe(no_mangle)]
static PROCESS_LIMITS: Global<ProcessLimits> =
    Global::new(ProcessLimits { of_pod: 0, of_all: 0, kept: 0 });

/// Just before the hooks began to see births, in nanoseconds of the clock of `start_boottime`; set by the agent before loading.
#[unsafe(no_mangle)]
static HOOKED_SINCE: Global<u64> = Global::new(0);

/// Whether a process that began then was seen to be born, if it was in a pod.
#[inline(always)]
pub(crate) fn sees_birth_at(start_ns: u64) -> bool {
    start_ns >= HOOKED_SINCE.load()
}

/// How many processes pods may have.
#[inline(always)]
pub(crate) fn process_limits() -> ProcessLimits {
    PROCESS_LIMITS.load()
}

/// Where the kernel keeps what the programs read.
#[inline(always)]
pub(crate) fn offsets() -> &'static KernelOffsets {
    // SAFETY: transparent, and never written once the programs are loaded.
    unsafe { &*as_set(&raw const OFFSETS).cast() }
}

/// Where it keeps what the hooks read that see the whole machine.
#[inline(always)]
pub(crate) fn guard_offsets() -> &'static GuardOffsets {
    // SAFETY: as above.
    unsafe { &*as_set(&raw const GUARD_OFFSETS).cast() }
}

/// The address of what the agent sets before loading: the compiler must not take it for what is written here. Read a
/// field at a time, it takes no room on the stack, as a copy of the whole would.
#[inline(always)]
fn as_set<T>(address: *const T) -> *const T {
    let mut hidden = address;
    // SAFETY: it does nothing.
    unsafe {
        core::arch::asm!("{hidden} = {hidden}", hidden = inout(reg) hidden, options(pure, readonly, nostack));
    }
    hidden
}

/// The agent's own process: its acts prove that hooks are called at all. Set before loading; 0 is nobody.
#[unsafe(no_mangle)]
static PROVER: Global<u32> = Global::new(0);

/// How often the agent's acts met a hook of a security module, any of them.
#[btf_map]
static FIRED: Array<u64, 1> = Array::new();

/// Counts an act of the agent: a hook of a security module may be attached and never called (Linux 5.10 without `bpf` in
/// its list of them).
#[inline(always)]
pub(crate) fn fired() {
    let prover = PROVER.load();
    if prover != 0
        && crate::attribution::current_tgid() == prover
        && let Some(fired) = FIRED.get_ptr_mut(0)
    {
        crate::account::add(fired, 1);
    }
}

/// Not 0 where the kernel has `bpf_ktime_get_coarse_ns` (Linux 5.11); set by the agent before loading.
#[unsafe(no_mangle)]
pub(crate) static COARSE_CLOCK: Global<u32> = Global::new(0);

/// Not 0 where `bpf_set_retval` may be called in the address hooks (Linux 6.1); set by the agent before
/// loading.
#[unsafe(no_mangle)]
pub(crate) static CHOOSES_ERRNO: Global<u32> = Global::new(0);

/// What a program takes for its slot when its cgroup gives none. Zero, so that no slot is no pod; the
/// benchmark sets it because `BPF_PROG_TEST_RUN` runs a program in no cgroup at all.
#[unsafe(no_mangle)]
static SLOT_WITHOUT_CGROUP: Global<u32> = Global::new(0);

/// What the programs that see packets take every socket for: 0, what it is; [`MADE`]; [`ADMITTED`]. For the
/// benchmark alone: the socket of `BPF_PROG_TEST_RUN` passes no other hook.
#[unsafe(no_mangle)]
pub(crate) static SOCKETS: Global<u32> = Global::new(0);

/// The pod made the socket: it has storage.
pub(crate) const MADE: u32 = 1;
/// Its connect was allowed under the current policy.
pub(crate) const ADMITTED: u32 = 2;

/// The pod that the running program serves.
pub(crate) struct CurrentPod {
    /// Its slot, never 0.
    pub(crate) slot: u32,
    /// Its state.
    pub(crate) state: &'static PodState,
    /// The clock, read at most once in a run: 0 until then.
    pub(crate) now_ns: Cell<u64>,
    /// Which one; known when the program is compiled.
    pub(crate) clock: Clock,
}

/// The clocks that a program may read.
#[derive(Clone, Copy)]
pub(crate) enum Clock {
    /// That of the last tick, where the kernel gives it; of the hooks that see packets.
    Coarse,
    /// The precise one alone; of security modules, which have no other.
    Precise,
}

impl CurrentPod {
    /// The pod of the attach point; `None` means: refuse.
    #[inline(always)]
    pub(crate) fn get() -> Option<Self> {
        let mut slot = SLOT.get();
        if slot == 0 {
            slot = SLOT_WITHOUT_CGROUP.load();
            if slot == 0 {
                return None;
            }
        }
        Self::in_slot(slot, Clock::Coarse)
    }

    /// The pod of a slot; `None` means: refuse.
    #[inline(always)]
    pub(crate) fn in_slot(slot: u32, clock: Clock) -> Option<Self> {
        let state = PODS.get(slot)?;
        let is_ready = state.flags & flags::READY != 0;
        is_ready.then_some(Self { slot, state, now_ns: Cell::new(0), clock })
    }

    /// Whether the profile lets pass what it does not allow.
    #[inline(always)]
    pub(crate) const fn audits(&self) -> bool {
        self.state.flags & flags::AUDIT != 0
    }
}
