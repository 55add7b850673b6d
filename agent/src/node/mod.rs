//! The node agent: every selected pod enforced before its first instruction.
//!
//! [`run`] loads the programs once and follows containerd. Each sandbox is a small state machine
//! (`roster`, `reconcile`); `prepare` and `enforce` put both layers in place for one, `enforced` takes them away. What must
//! outlive the agent is pinned (`pins`); what the next one needs besides is in
//! the pods' journals.
//!
//! Invariants:
//! - A pod is closed from the first hook on until its policy is in force; its barrier is told nothing until
//!   every layer is in place.
//! - Nothing is removed of a pod that containerd may still run: only a complete listing, or the end of the
//!   sandbox itself, ends a pod.
//! - What fails for one pod is tried again for that pod, and touches no other.

mod agent;
mod audit;
mod capabilities;
mod enforce;
mod enforced;
mod error;
mod identities;
mod leftovers;
mod lock;
mod metrics;
mod pins;
mod pods;
mod policies;
mod pool;
mod prepare;
mod ready;
mod reconcile;
mod roster;
mod signals;
mod surroundings;

pub use agent::run;
pub use error::NodeError;
