//! The page that tells a job what it was refused: `http://weir.internal/`, served by the pod's own listener.
//!
//! The listener's TCP port speaks DNS, where each message comes behind its length; no question is as long as the
//! first two letters of an HTTP request would say. So there is no second socket in the pod, and who may ask, how the
//! socket is found again by the next agent, and what keeps strangers away is all the listener's. The name leads to
//! [`V4`] and [`V6`], of which the connect hook and the table in the pod's namespace send [`PORT`] to the listener;
//! no port of the pod's own is taken.
//!
//! `server` speaks HTTP, `request` says what was asked for, `desk` bounds what asking costs, [`report`] is what
//! is told, `text` writes it for people.
//!
//! Invariants:
//! - A page tells of the pod that asks and of no other; nothing can be changed through it.
//! - What a job made up (names of processes, paths, names it asked for) is printable ASCII on the page.
//! - One pod's requests cost the agent a bounded share of one processor, however many there are.

mod desk;
pub mod report;
mod request;
mod server;
#[cfg(test)]
pub(crate) mod testing;
mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use self::{desk::Desk, server::serve};

/// The page's host.
pub const HOST: &str = "weir.internal";
/// Where the name leads (RFC 5737).
pub const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
/// As [`V4`], for IPv6 (RFC 3849).
pub const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xc000, 0x250);
/// The only port there.
pub const PORT: u16 = weir_ebpf::pod::PAGE_PORT;

/// The page's address of the same IP version.
#[must_use]
pub const fn address_like(other: IpAddr) -> IpAddr {
    match other {
        IpAddr::V4(_) => IpAddr::V4(V4),
        IpAddr::V6(_) => IpAddr::V6(V6),
    }
}

/// Whether a connection that begins with these bytes speaks HTTP: a method in capital letters (RFC 9110 §9.1).
#[must_use]
pub const fn begins_request(bytes: [u8; 2]) -> bool {
    bytes[0].is_ascii_uppercase() && bytes[1].is_ascii_uppercase()
}

#[cfg(test)]
mod tests;
