//! The node agent of weir.

pub mod cli;
pub mod policy;
