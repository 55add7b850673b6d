//! What the kernel programs and the agent share: the types that cross the kernel boundary, and the
//! verdict as plain functions over parsed headers.
//!
//! Invariants:
//! - Nothing here touches aya or a kernel helper, so everything is tested and fuzzed on the host and
//!   compiled unchanged into the programs.
//! - Types that cross the boundary are `repr(C)`, padded by hand, and their sizes and offsets asserted.
//! - Integers cross the boundary, enums do not: reading one back is a parse that can fail.
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "a call in a kernel program costs stack and verifier state; the programs are one function each"
)]

pub mod address;
pub mod credential;
pub mod flow;
pub mod guard;
mod layout;
pub mod lineage;
pub mod offsets;
pub mod packet;
pub mod pod;
pub mod process;
pub mod reason;
pub mod socket;
pub mod verdict;

/// Raised when a shared type keeps its size and changes its meaning, or a table its key: what an agent with another number left
/// in the kernel is not taken over.
pub const LAYOUT: u32 = 2;
