//! What the kernel programs and the agent share: types that cross the boundary and the pure verdict.
#![no_std]

pub mod reason;
