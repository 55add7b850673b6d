//! The node agent of weir.

pub mod policy;
pub mod resolver;
