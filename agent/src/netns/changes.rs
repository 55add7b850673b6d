//! The news that links or addresses of a pod changed.

use super::{Netns, NetnsError};
use crate::system::addresses::{AddressChanges, Groups};

/// Subscribes to the links and addresses of `netns`: the socket is inside, who waits on it is not.
/// Needs a tokio runtime. It keeps the
/// namespace alive, as any socket in it does.
///
/// # Errors
///
/// When the namespace cannot be entered, or the system refuses the socket.
pub fn subscribe(netns: &Netns) -> Result<AddressChanges, NetnsError> {
    netns
        .enter(|| AddressChanges::open(Groups::LinksAndAddresses))?
        .and_then(AddressChanges::register)
        .map_err(NetnsError::Watch)
}
