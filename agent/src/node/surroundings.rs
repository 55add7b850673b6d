//! What is on this side of a pod's wire.

use std::{io, net::IpAddr};

use crate::{netns::uplink::HostSide, pod::Surroundings, system::addresses::own_addresses};

/// For a pod with a network namespace of its own.
pub(super) fn of_pod(host_side: &HostSide) -> io::Result<Surroundings> {
    Ok(Surroundings { own: host_side.own_networks(), node: node_addresses()? })
}

/// The node's addresses, as a pod meets them.
fn node_addresses() -> io::Result<Vec<IpAddr>> {
    let addresses = own_addresses()?;
    Ok(addresses.into_iter().filter(|address| !address.is_loopback()).collect())
}
