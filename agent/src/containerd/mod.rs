//! Pods as containerd knows them: which sandboxes and containers run, where their cgroups and network
//! namespaces are, and what changes.
//!
//! [`watch()`] follows containerd for as long as its receiver lives. What containerd stores is parsed by pure
//! functions ([`Sandbox::read`], [`Container::read`]); a sandbox that cannot be read is told as such and
//! never taken for one that is gone.
//!
//! Invariant: the list of what runs is asked for only once the event stream is proven to be followed, so
//! that nothing falls between the two.

mod arrivals;
mod cgroup;
mod change;
mod client;
mod container;
mod event;
mod id;
mod known;
mod metadata;
mod network;
mod sandbox;
mod session;
mod spec;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

pub use cgroup::{CgroupPath, CgroupPathError};
pub use change::{Change, Idle, Listing, Unreadable};
pub use client::ClientError;
pub use container::{Container, ContainerError};
pub use id::{ContainerId, IdError, SandboxId};
pub use network::{Network, NetworkError};
#[cfg(test)]
pub(crate) use sandbox::sandbox_in;
pub use sandbox::{PodName, Sandbox, SandboxError};
pub use state::{ContainerdState, Phase};
pub use watch::{WatchSettings, Watcher, watch};
