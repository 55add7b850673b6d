//! The policy reference, clause by clause; beside it what holds for every file.

mod accepted;
mod errors;
mod properties;
mod refused;
mod select;
mod values;

pub(in crate::policy) use accepted::with_spec;
