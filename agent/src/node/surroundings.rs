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

/// The node's addresses, as a pod meets them. Each pod's veth brings a link-local one, which reaches no other pod: with
/// all of them in each pod's table, 110 pods would have 6,000 networks.
fn node_addresses() -> Result<Vec<IpAddr>, UplinkError> {
    let is_met = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    Ok(own_addresses()?.into_iter().filter(is_met).collect())
}
