//! Where something went, or what it was of, as a record says it.

use std::net::IpAddr;

use weir_ebpf::{address::Endpoint, reason::Reason};

use crate::{events::record::Destination, policy::family_name};

/// What a refusal was of, where it was nothing that IP could carry: what the kernel wrote in the place of an address
/// says it.
pub(super) fn past_ip(reason: Reason, what: &Endpoint) -> Option<String> {
    match reason {
        // The second layer's are of a frame.
        Reason::RawSocket if what.protocol == 0 && what.port != 0 => Some(family_name(what.port)),
        Reason::BpfDenied => Some("bpf".to_owned()),
        Reason::CgroupLeft => Some("cgroup".to_owned()),
        Reason::ProcessLimit => Some("fork".to_owned()),
        _ => None,
    }
}

/// A destination with the names that led to it, the latest last.
pub(super) fn destination(
    mut hosts: Vec<String>,
    ip: Option<IpAddr>,
    port: u16,
    proto: String,
) -> Destination {
    let host = hosts.pop();
    Destination { host, other_hosts: hosts, ip, port: (port != 0).then_some(port), proto }
}
