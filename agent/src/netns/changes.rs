//! The news that links or addresses of a pod changed.

use std::collections::BTreeSet;

use super::{Netns, NetnsError, netlink::messages, uplink::HostSide};
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

/// Whether the pod still has the links that `side` was read with, by all that `changes` has heard since it was
/// subscribed to, which must have been before. What cannot be told is a change.
///
/// Asking the kernel for its links takes the RTNL lock, which CNI holds for much of a burst of pod starts: 0.3 s
/// measured with 50 at once.
#[must_use]
pub fn links_are_those_of(changes: &AddressChanges, side: &HostSide) -> bool {
    let Ok(Some(datagrams)) = changes.take() else { return false };
    let mut strange = BTreeSet::new();
    for message in datagrams.iter().flat_map(|datagram| messages(datagram)) {
        let Ok(message) = message else { return false };
        // `struct ifinfomsg`: family, padding, type, index.
        let index = message.payload.get(4..8).and_then(|index| index.try_into().ok());
        let index = index.map(u32::from_ne_bytes);
        match (message.kind, index) {
            (libc::RTM_NEWLINK, Some(index)) if !side.has_link(index) => {
                strange.insert(index);
            }
            (libc::RTM_DELLINK, Some(index)) if side.has_link(index) => return false,
            (libc::RTM_DELLINK, Some(index)) => {
                strange.remove(&index);
            }
            _ => {}
        }
    }
    strange.is_empty()
}
