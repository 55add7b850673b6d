//! What is on this side of a pod's wire.

use std::net::IpAddr;

use crate::{
    netns::uplink::{HostSide, UplinkError, own_addresses},
    pod::Surroundings,
};

/// For a pod with a network namespace of its own.
pub(super) fn of_pod(host_side: &HostSide) -> Result<Surroundings, UplinkError> {
    Ok(Surroundings { own: host_side.own_networks(), node: node_addresses()? })
}

/// The node's addresses, as a pod meets them.
fn node_addresses() -> Result<Vec<IpAddr>, UplinkError> {
    let addresses = own_addresses()?;
    Ok(addresses.into_iter().filter(|address| !address.is_loopback()).collect())
}
