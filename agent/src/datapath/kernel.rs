//! The one place that vouches for types whose bytes go to and come from kernel maps.

use aya::Pod;
use weir_ebpf::{
    address::Endpoint,
    credential::{FileKey, PathPatterns, WatchedFile, WatchedFolder},
    flow::{Client, Event, Flow, FlowKey, WireFlow, WireKey},
    lineage::{Lineage, Member, ProcessLimits},
    offsets::GuardOffsets,
    pod::{AllowEntry, Network, NetworkKey, Placed, PodCounters, PodState},
    process::{KernelOffsets, Process, ProcessKey},
    socket::SocketTag,
};

/// A shared type as map key or value.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Kernel<T>(pub(super) T);

/// Types of `weir_ebpf` that cross the kernel boundary.
///
/// # Safety
///
/// `repr(C)`, valid for every bit pattern, and without padding that the compiler inserts: the kernel
/// reads and compares all their bytes.
pub(super) unsafe trait Shared: Copy + 'static {}

// SAFETY: `Kernel` is transparent over a type that the trait's implementor vouched for.
unsafe impl<T: Shared> Pod for Kernel<T> {}

macro_rules! shared {
    ($($name:ty),+ $(,)?) => {
        $(
            // SAFETY: integers and arrays of integers only, `repr(C)`, sizes asserted beside the type
            // to equal the sum of the fields.
            unsafe impl Shared for $name {}
        )+
    };
}

shared!(
    AllowEntry,
    Client,
    Endpoint,
    Event,
    FileKey,
    Flow,
    FlowKey,
    GuardOffsets,
    KernelOffsets,
    Lineage,
    Member,
    Network,
    NetworkKey,
    PathPatterns,
    Placed,
    PodCounters,
    PodState,
    Process,
    ProcessKey,
    ProcessLimits,
    SocketTag,
    WatchedFile,
    WatchedFolder,
    WireFlow,
    WireKey,
);

/// Reads a shared type from bytes that the kernel wrote; `None` when there are too few.
pub(super) fn read<T: Shared>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: enough bytes, every bit pattern is valid, and the read assumes no alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
