//! Attached nowhere, and run by the agent: tells which tables of their own the slots have.
//!
//! The system call that tells it waits for an RCU grace period for each, up to Linux 6.7 (`bpf_map_copy_value`): with the
//! pods of a whole node that takes longer than anybody may go on with a table of his own.

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    btf_maps::Array,
    helpers::generated::bpf_map_lookup_elem,
    macros::{btf_map, raw_tracepoint},
    programs::RawTracePointContext,
};
use weir_ebpf::pod::{SLOTS, TABLES};

use crate::{
    attribution::read,
    maps::{ALLOW, CLIENTS, FLOWS, PROCESSES, WIRE_FLOWS},
};

/// The identifiers of each slot's tables, in the order of [`TABLES`], 0 for one that it has not. At slot 0, which is no
/// pod's, the number of the run, its lower word first. Written by this program alone, as of its last run.
#[btf_map]
static PLACED: Array<[u32; TABLES], SLOTS> = Array::new();

/// `bpf_map::id`, set by the agent before loading.
#[unsafe(no_mangle)]
static MAP_ID: Global<u32> = Global::new(0);

/// Notes the tables of the first slots, of how many the first argument says, and then the second, the number of the run:
/// the kernel may leave a run out, because another one is under way on that CPU, and does not tell.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub(crate) fn weir_places(ctx: RawTracePointContext) -> i32 {
    let (count, run): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    for slot in 1..SLOTS as u32 {
        if u64::from(slot) >= count {
            break;
        }
        let Some(placed) = PLACED.get_ptr_mut(slot) else { break };
        let ids = [
            id((&raw const ALLOW).cast(), slot),
            id((&raw const FLOWS).cast(), slot),
            id((&raw const PROCESSES).cast(), slot),
            id((&raw const CLIENTS).cast(), slot),
            id((&raw const WIRE_FLOWS).cast(), slot),
        ];
        // SAFETY: a live map value, which nobody else writes.
        unsafe { *placed = ids };
    }
    if let Some(placed) = PLACED.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { *placed = [run as u32, (run >> 32) as u32, 0, 0, 0] };
    }
    0
}

/// The identifier of the table that a slot has in an array of maps; 0 where it has none.
#[inline(always)]
fn id(outer: *const c_void, slot: u32) -> u32 {
    // SAFETY: a map, and a key of its size.
    let inner = unsafe { bpf_map_lookup_elem(outer.cast_mut(), (&raw const slot).cast()) };
    // The verifier lets nobody reckon with the address of a map; read back from the stack it is a number.
    let address: u64 = read((&raw const inner) as u64, 0);
    read(address, MAP_ID.load())
}
