//! weir: default-deny egress control for CI runners.
//!
//! The way of the data: a [`policy`] says what may be reached; the [`datapath`] enforces it in the
//! kernel.

pub mod cli;
pub mod datapath;
pub mod policy;
