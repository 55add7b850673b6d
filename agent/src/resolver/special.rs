//! Names that are answered without a policy and without upstream, because they are not names of the
//! Internet at all.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::listener::Versions;
use super::question::Request;
use super::reply::Reply;
use super::wire::{rcode, rtype};
use crate::page;

#[cfg(test)]
mod tests;

const LOCALHOST_TTL_S: u32 = 3600;
/// The page's addresses never change, what a client makes of them without weir might.
const PAGE_TTL_S: u32 = 60;

/// Whether the question's name is `localhost` or below it (RFC 6761 §6.3).
pub(super) fn is_localhost(request: &Request) -> bool {
    request.labels().last() == Some(b"localhost")
}

/// Answers a `localhost` question with loopback.
pub(super) fn answer_localhost(qtype: u16, reply: Reply<'_>) {
    match qtype {
        rtype::A => reply.address(&Ipv4Addr::LOCALHOST.octets(), LOCALHOST_TTL_S),
        rtype::AAAA => reply.address(&Ipv6Addr::LOCALHOST.octets(), LOCALHOST_TTL_S),
        _ => reply.empty(rcode::NO_ERROR, None),
    }
}

/// The nonce of a barrier that asks for proof: the first label of `<nonce>.attach.weir.internal`.
///
/// `internal` is kept out of the public tree for uses like this (ICANN, 2024).
pub(super) fn attach_nonce(request: &Request) -> Option<&[u8]> {
    if request.qtype != rtype::TXT {
        return None;
    }
    let mut labels = request.labels();
    let nonce = labels.next()?;
    labels.eq([&b"attach"[..], b"weir", b"internal"]).then_some(nonce)
}

/// Whether the question's name is that of the pod's page ([`page::HOST`]), and nothing below it.
pub(super) fn is_page(request: &Request) -> bool {
    request.labels().eq(page::HOST.split('.').map(str::as_bytes))
}

/// Answers a question for the page with where the pod's own listener is found, if it is over that version.
pub(super) fn answer_page(qtype: u16, versions: Versions, reply: Reply<'_>) {
    match qtype {
        rtype::A if versions.v4 => reply.address(&page::V4.octets(), PAGE_TTL_S),
        rtype::AAAA if versions.v6 => reply.address(&page::V6.octets(), PAGE_TTL_S),
        _ => reply.empty(rcode::NO_ERROR, None),
    }
}

/// Whether this asks for the name of an address: PTR of a whole IPv4 or IPv6 reverse name.
///
/// Servers and logging tools ask this of every peer. An exact form only, so that a tunnel through
/// some zone of `arpa` is a refusal like any other.
pub(super) fn is_reverse_lookup(request: &Request) -> bool {
    const MAX_LABELS: usize = 32 + 2;
    if request.qtype != rtype::PTR || request.labels().count() > MAX_LABELS {
        return false;
    }
    let labels: Vec<&[u8]> = request.labels().collect();
    match labels.as_slice() {
        [octets @ .., b"in-addr", b"arpa"] => {
            octets.len() == 4 && octets.iter().all(|label| is_octet(label))
        }
        [nibbles @ .., b"ip6", b"arpa"] => {
            nibbles.len() == 32
                && nibbles.iter().all(|label| matches!(label, [digit] if digit.is_ascii_hexdigit()))
        }
        _ => false,
    }
}

fn is_octet(label: &[u8]) -> bool {
    let digits = !label.is_empty() && label.iter().all(u8::is_ascii_digit);
    let plain = label == b"0" || label.first() != Some(&b'0');
    digits && plain && str::from_utf8(label).is_ok_and(|text| text.parse::<u8>().is_ok())
}
