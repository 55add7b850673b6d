//! `cgroup_mkdir`, `cgroup_rmdir`: which cgroups are a pod's. The agent enters the pod's own, the kernel those that are
//! made below.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap},
    helpers::generated::bpf_get_current_cgroup_id,
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use weir_ebpf::{
    lineage::{CGROUPS, CGROUPS_MADE_BY_POD, Member},
    pod::SLOTS,
};

use crate::{
    account,
    attribution::{current_tgid, read},
    lineage,
    maps::guard_offsets,
};

/// The cgroups of pods, by their ids.
#[btf_map]
static MEMBERS: HashMap<u64, Member, CGROUPS, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// How many of each slot's its own processes have made.
#[btf_map]
static MEMBER_COUNTS: Array<u64, SLOTS> = Array::new();

/// The cgroup with this id, if it is a pod's.
#[inline(always)]
pub(crate) fn of(cgroup: u64) -> Option<Member> {
    // SAFETY: entries are written whole when their cgroup is made, and never changed.
    unsafe { MEMBERS.get(cgroup) }.copied()
}

/// The cgroup that the running process is in, if it is a pod's.
#[inline(always)]
pub(crate) fn of_current() -> Option<Member> {
    // SAFETY: the helper takes nothing.
    of(unsafe { bpf_get_current_cgroup_id() })
}

#[btf_tracepoint(function = "cgroup_mkdir")]
pub(crate) fn weir_cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let offsets = guard_offsets();
    let cgroup: u64 = ctx.arg(0);
    if !is_unified(cgroup) {
        return 0;
    }
    let parent: u64 = read(cgroup, offsets.cgroup_self + offsets.css_parent);
    let parent = parent.wrapping_sub(u64::from(offsets.cgroup_self));
    let Some(member) = of(id(parent)) else { return 0 };
    let Some(count) = MEMBER_COUNTS.get_ptr_mut(member.slot) else { return 0 };
    let counted = lineage::of(current_tgid()).is_some();
    // SAFETY: a live map value.
    if counted && unsafe { count.read_volatile() } >= CGROUPS_MADE_BY_POD {
        return 0;
    }
    let id = id(cgroup);
    if MEMBERS.insert(id, member.below(id, counted), 0).is_ok() && counted {
        account::add(count, 1);
    }
    0
}

#[btf_tracepoint(function = "cgroup_rmdir")]
pub(crate) fn weir_cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: u64 = ctx.arg(0);
    if is_unified(cgroup) {
        let id = id(cgroup);
        let Some(member) = of(id) else { return 0 };
        if MEMBERS.remove(id).is_ok()
            && member.counted != 0
            && let Some(count) = MEMBER_COUNTS.get_ptr_mut(member.slot)
        {
            account::add(count, u64::MAX);
        }
    }
    0
}

/// Whether a cgroup is of version 2: the hierarchies of version 1 count their ids for themselves.
#[inline(always)]
fn is_unified(cgroup: u64) -> bool {
    let offsets = guard_offsets();
    let root: u64 = read(cgroup, offsets.cgroup_root);
    let hierarchy: i32 = read(root, offsets.root_hierarchy);
    root != 0 && hierarchy == 0
}

#[inline(always)]
fn id(cgroup: u64) -> u64 {
    let offsets = guard_offsets();
    let node: u64 = read(cgroup, offsets.cgroup_node);
    read(node, offsets.node_id)
}
