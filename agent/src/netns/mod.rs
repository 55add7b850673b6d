//! A pod's network namespace: what the agent reads in it, and what it puts there.
//!
//! [`Netns`] is the namespace, [`uplink`] finds the pod's way out and the host's end of it,
//! [`listener`] opens the pod's DNS sockets, [`nftables`] sends the pod's questions to them,
//! [`follow`] tells when links or addresses changed, and [`filter`] which program a device's filter runs.
//!
//! Invariant: no thread that serves anything else ever changes its namespace.
//! Invariant: everything in the namespace may be the work of a hostile job with `CAP_NET_ADMIN`. What is
//! read there is a claim, apart from what the kernel says of the other end of a veth; what is put there
//! may be taken away. The program at the host's end of the veth holds then.

pub mod filter;
pub mod follow;
mod link;
pub mod listener;
mod namespace;
mod netlink;
pub mod nftables;
pub mod uplink;

pub use self::namespace::{Netns, NetnsError, NetnsId};
pub use self::netlink::{Malformed, NetlinkError};
