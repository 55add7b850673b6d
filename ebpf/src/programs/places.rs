//! Attached nowhere, and run by the agent over a packet of its own: tells which tables of their own the slots have.
//!
//! The system call that tells it waits for an RCU grace period for each, up to Linux 6.7 (`bpf_map_copy_value`): with the
//! pods of a whole node that takes longer than anybody may go on with a table of his own.
//!
//! Not a program for tracing: before Linux 6.1 the kernel warns of one that can reach tables without preallocation
//! (`check_map_prog_compatibility`), and newer ones leave a run out while another is under way on that CPU.

use core::{ffi::c_void, mem::offset_of};

use aya_ebpf::{
    Global, helpers::generated::bpf_map_lookup_elem, macros::classifier, programs::TcContext,
};
use weir_ebpf::pod::{Placed, SLOTS_AT_ONCE, TABLES};

use crate::{
    attribution::read,
    maps::{ALLOW, CLIENTS, FLOWS, PROCESSES, WIRE_FLOWS},
};

/// `bpf_map::id`, set by the agent before loading.
#[unsafe(no_mangle)]
static MAP_ID: Global<u32> = Global::new(0);

/// Fills in the rows of a [`Placed`], as many as there are, and returns how many.
#[classifier]
pub(crate) fn weir_places(ctx: TcContext) -> i32 {
    let Ok(first) = ctx.load::<u32>(offset_of!(Placed, first)) else { return 0 };
    for row in 0..SLOTS_AT_ONCE as u32 {
        let slot = first.wrapping_add(row);
        let ids: [u32; TABLES] = [
            id((&raw const ALLOW).cast(), slot),
            id((&raw const FLOWS).cast(), slot),
            id((&raw const PROCESSES).cast(), slot),
            id((&raw const CLIENTS).cast(), slot),
            id((&raw const WIRE_FLOWS).cast(), slot),
        ];
        let offset = offset_of!(Placed, rows) + row as usize * size_of_val(&ids);
        if ctx.store(offset, &ids, 0).is_err() {
            return row.cast_signed();
        }
    }
    (SLOTS_AT_ONCE as u32).cast_signed()
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
