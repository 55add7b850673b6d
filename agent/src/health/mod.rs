//! Health over HTTP: `/healthz` while the process serves, `/readyz` once every condition holds.
//!
//! The answers say nothing of pods, so that the address may be the node's own.

mod readiness;
mod server;
#[cfg(test)]
mod tests;

pub use readiness::{Condition, Readiness};
pub use server::{HealthError, HealthServer};
