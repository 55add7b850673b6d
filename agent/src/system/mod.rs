//! What this machine is: mounts, cgroups, clocks, addresses. Read, never changed.

pub mod addresses;
pub mod cgroup;
pub mod clock;
pub mod mounts;
pub(crate) mod utc;
