//! What is on this side of a pod's wire.

use crate::{
    netns::uplink::{HostSide, UplinkError, own_addresses},
    pod::Surroundings,
};

/// For a pod with a network namespace of its own.
pub(super) fn of_pod(host_side: &HostSide) -> Result<Surroundings, UplinkError> {
    Ok(Surroundings::new(host_side.own_networks(), own_addresses()?))
}
