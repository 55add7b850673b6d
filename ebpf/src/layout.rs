//! The layout of every shared type, to the byte, checked by the compiler for each target that it builds for.
//!
//! The programs are compiled for one machine, the kernel's, and the agent for another. Both have the same layout of
//! `repr(C)` because every field is an integer of a fixed width, aligned to that width, or an array of such: none has
//! the width of a pointer, of a `c_char` or of a page. What is asserted here holds alike for x86-64, for 64-bit ARM and
//! for BPF, or that target does not build.

use crate::{
    address::{Address, Endpoint},
    credential::{FileKey, NamePattern, PathPattern, PathPatterns, WatchedFile, WatchedFolder},
    flow::{Client, Event, Flow, FlowKey, WireFlow, WireKey},
    lineage::{Lineage, Member, ProcessLimits},
    offsets::GuardOffsets,
    pod::{
        AllowEntry, EVENT_RING_BYTES, Network, NetworkKey, NetworkPort, Placed, PodCounters,
        PodState,
    },
    process::{Ancestor, KernelOffsets, Process, ProcessKey},
    socket::SocketTag,
};

/// The largest page that a kernel of the supported machines is built with (64 KiB, `CONFIG_ARM64_64K_PAGES`).
const LARGEST_PAGE_BYTES: usize = 64 * 1024;

// A ring is a power of two and whole pages (`ringbuf_map_alloc`), whatever the kernel's pages are.
const _: () = assert!(
    EVENT_RING_BYTES.is_power_of_two() && EVENT_RING_BYTES.is_multiple_of(LARGEST_PAGE_BYTES)
);

/// The size of what a function hands out of a structure.
const fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// Asserts size and alignment of a type and the offset of each of its fields, that no field is left out, and that
/// no byte lies between fields: the kernel compares keys as bytes, and hands out all of them.
macro_rules! layout {
    ($($name:ident: $size:literal bytes, aligned to $align:literal { $($field:ident: $at:literal),+ $(,)? })+) => {
        $(
            const _: () = {
                assert!(size_of::<$name>() == $size);
                assert!(align_of::<$name>() == $align);
                $(assert!(core::mem::offset_of!($name, $field) == $at);)+
                let sum = 0 $(+ size_of_field::<$name, _>(|value| &value.$field))+;
                assert!(sum == $size);
            };
        )+
    };
}

// A type whose bytes are all in its fields has no other field: the sum says that as well.
const _: () = assert!(size_of::<Address>() == 16 && align_of::<Address>() == 4);

layout! {
    Endpoint: 20 bytes, aligned to 4 { address: 0, port: 16, protocol: 18, padding: 19 }
    FlowKey: 28 bytes, aligned to 4 { peer: 0, tgid: 20, outcome: 24, reason: 25, execution: 26 }
    Flow: 80 bytes, aligned to 8 {
        count: 0, bytes_up: 8, bytes_down: 16, first_ns: 24, last_ns: 32, process: 40, comm: 56, rule: 72, known: 76,
    }
    Event: 80 bytes, aligned to 8 {
        at_ns: 0, process: 8, comm: 24, flow: 40, slot: 68, known: 72, padding: 76,
    }
    Client: 64 bytes, aligned to 8 { process: 0, comm: 16, at_ns: 32, asked: 40, known: 60 }
    WireKey: 40 bytes, aligned to 4 { source: 0, destination: 20 }
    WireFlow: 8 bytes, aligned to 4 { generation: 0, rule: 4 }
    PodState: 60 bytes, aligned to 4 {
        generation: 0, flags: 4, bank: 8, listener_port: 12, padding: 14, listener_v4: 16, listener_v6: 32,
        refusing_rule: 48, families: 52,
    }
    AllowEntry: 8 bytes, aligned to 4 { expires: 0, rule: 4 }
    NetworkKey: 20 bytes, aligned to 4 { slot_bank: 0, address: 4 }
    NetworkPort: 8 bytes, aligned to 4 { port: 0, protocol: 2, padding: 3, rule: 4 }
    Network: 136 bytes, aligned to 4 { flags: 0, count: 4, ports: 8 }
    Placed: 2576 bytes, aligned to 4 { first: 0, padding: 4, rows: 16 }
    PodCounters: 328 bytes, aligned to 8 {
        refused: 0, audited: 128, lost_events: 256, lost_flows: 264, no_storage: 272, lost_processes: 280,
        window_ns: 288, window_events: 296, events: 304, flows: 312, processes: 320,
    }
    ProcessKey: 16 bytes, aligned to 8 { start_ns: 0, tgid: 8, exec_id: 12 }
    Ancestor: 20 bytes, aligned to 4 { comm: 0, tgid: 16 }
    Process: 608 bytes, aligned to 8 {
        container: 0, arguments: 8, path: 16, ancestors: 416, comm: 576, components: 592, ancestor_count: 596,
        path_complete: 600, ready: 604,
    }
    KernelOffsets: 80 bytes, aligned to 4 {
        usable: 0, task_group_leader: 4, task_real_parent: 8, task_tgid: 12, task_comm: 16, task_start_boottime: 20,
        task_self_exec_id: 24, task_mm: 28, task_fs: 32, fs_root: 36, mm_exe_file: 40, file_path: 44, path_mnt: 48,
        path_dentry: 52, dentry_parent: 56, dentry_name: 60, vfsmount_root: 64, mount_mnt: 68, mount_parent: 72,
        mount_mountpoint: 76,
    }
    SocketTag: 112 bytes, aligned to 8 {
        packets: 0, bytes_up: 8, bytes_down: 16, process: 24, comm: 40, peer: 56, captured: 76, generation: 96,
        flags: 100, rule: 104, reason: 108,
    }
    GuardOffsets: 104 bytes, aligned to 4 {
        task_pid: 0, task_signal: 4, task_thread_pid: 8, signal_live: 12, signal_pids: 16, mm_arg_start: 20,
        mm_arg_end: 24, cgroup_self: 28, cgroup_node: 32, cgroup_root: 36, css_parent: 40, root_hierarchy: 44,
        node_id: 48, socket_sock: 52, sock_family: 56, program_type: 60, file_mode: 64, dentry_inode: 68,
        inode_super: 72, inode_number: 76, inode_links: 80, inode_mode: 84, super_magic: 88, super_device: 92,
        proc_pid: 96, proc_inode: 100,
    }
    Member: 16 bytes, aligned to 8 { container: 0, slot: 8, counted: 12 }
    Lineage: 232 bytes, aligned to 8 {
        pod: 0, container: 8, arguments: 16, process: 24, slot: 40, depth: 44, flags: 48, padding: 52, comm: 56,
        ancestors: 72,
    }
    ProcessLimits: 12 bytes, aligned to 4 { of_pod: 0, of_all: 4, kept: 8 }
    NamePattern: 80 bytes, aligned to 8 { value: 0, mask: 40 }
    PathPattern: 488 bytes, aligned to 8 { components: 0, count: 480, anchored: 484 }
    PathPatterns: 7816 bytes, aligned to 8 { patterns: 0, count: 7808, padding: 7812 }
    FileKey: 16 bytes, aligned to 8 { inode: 0, device: 8, slot: 12 }
    WatchedFile: 416 bytes, aligned to 4 {
        path: 0, components: 400, path_complete: 404, pattern: 408, padding: 412,
    }
    WatchedFolder: 24 bytes, aligned to 4 { agreed: 0 }
}
