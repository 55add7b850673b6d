//! The kernel side as the agent sees it: the one place that knows aya.
//!
//! The way in is [`Datapath::load`], which loads and verifies all programs once. Each pod then costs a
//! [`slot::Slot`] (its maps and its place in the tables) and an [`attach::Attachment`] (its links).
//!
//! Invariants:
//! - A pod is closed from the moment its first hook is attached until its state says ready.
//! - Allow entries are written before the answer that leads to them leaves ([`slot::Slot::allow`]).
//! - Nothing outside this folder uses aya.

pub mod attach;
pub mod audit;
mod batch;
pub mod btf;
mod cgroup_slots;
mod counters;
#[cfg(feature = "debug-log")]
mod debug_log;
pub mod error;
pub mod events;
pub mod guard;
mod kernel;
pub mod locked_memory;
mod maps;
pub mod measure;
mod members;
pub mod object;
pub mod offsets;
mod outer;
mod pinned;
mod places;
pub mod probe;
pub mod slot;
mod syscall;
mod tables;
mod watched;
pub mod wire;

pub use error::DatapathError;
pub use object::Datapath;
