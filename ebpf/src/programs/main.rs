//! The kernel programs. Each hook is one short file; what they share is beside them.
//!
//! Invariants:
//! - A hook that cannot find its pod, or cannot get what it needs to judge, refuses.
//! - `current` is asked only in hooks that run in process context, never in `cgroup_skb`.
//! - No log call outside the `debug-log` feature.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::inline_always,
    reason = "a call in a kernel program costs stack and verifier state; the programs are one function each"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the macros hand each entry point its context by value"
)]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to name a field of a kernel structure and to read it once is one access, and one argument"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes, codes and ports, which fit by their definition; a checked cast is a branch for the verifier"
)]

mod account;
mod attribution;
mod connect;
mod egress;
mod guard;
mod headers;
mod ingress;
mod lifetime;
mod lineage;
mod maps;
mod members;
mod names;
mod paths;
mod peer;
mod places;
mod storage;
mod subject;
mod tables;
mod wire;

/// A reachable panic is a loop without end, which the verifier refuses: nothing that can panic loads.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel gives its GPL-only helpers to programs that are also GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
