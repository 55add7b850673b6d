//! A pod's links by the kernel's news of them.
//!
//! Who asks the kernel for links waits for the RTNL lock, which CNI holds for much of a burst of pod starts: 0.9 s
//! measured with 50 at once on two cores. Each link that comes or changes is told to all who listen, with whatever an
//! answer would say (`rtmsg_ifinfo`). So the kernel is asked only where its news do not tell everything.

use std::{collections::BTreeMap, fs};

use super::{
    Netns, NetnsError,
    link::{Link, links, read_link},
    netlink::{Malformed, Socket, messages},
    uplink::{HostSide, UplinkError, is_veth},
};
use crate::system::addresses::{AddressChanges, Groups};

#[cfg(test)]
mod tests;

/// The links of a namespace, and the news of them that have not been read.
///
/// It keeps the namespace alive, as any socket in it does.
#[derive(Debug)]
pub struct FollowedLinks {
    news: AddressChanges,
    socket: Socket,
    links: BTreeMap<u32, Link>,
}

impl FollowedLinks {
    /// Follows the links of `netns` from now on. To be called in the namespace that the host's ends are in; needs a
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// When `netns` is the caller's own, or cannot be read.
    pub fn of(netns: &Netns) -> Result<Self, UplinkError> {
        let own = Netns::current()?;
        if own.id() == netns.id() {
            return Err(UplinkError::HostNetwork(own.id()));
        }
        let (news, socket, links) = netns.enter(|| -> Result<_, UplinkError> {
            // Before the first look, so that no change falls between the two.
            let news =
                AddressChanges::open(Groups::LinksAndAddresses).map_err(NetnsError::Watch)?;
            let mut socket = Socket::route()?;
            let links = if has_only_loopback() { Vec::new() } else { links(&mut socket)? };
            Ok((news, socket, links))
        })??;
        let news = AddressChanges::register(news).map_err(NetnsError::Watch)?;
        Ok(Self { news, socket, links: by_index(links) })
    }

    /// Waits for news of links or addresses, and reads them.
    ///
    /// # Errors
    ///
    /// When the socket can no longer be read, or the kernel cannot be asked for what the news do not tell.
    pub async fn changed(&mut self) -> Result<(), UplinkError> {
        let heard = self.news.heard().await.map_err(NetnsError::Watch)?;
        self.learn(heard.as_deref())
    }

    /// Reads the news that have come; whether the links are others than before.
    ///
    /// # Errors
    ///
    /// As [`Self::changed`].
    pub fn catch_up(&mut self) -> Result<bool, UplinkError> {
        let heard = self.news.take().map_err(NetnsError::Watch)?;
        let before = self.links.clone();
        self.learn(heard.as_deref())?;
        Ok(self.links != before)
    }

    /// What leads out by these links; it has no addresses yet. To be called in the namespace that the host's ends
    /// are in.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn host_side(&mut self) -> Result<HostSide, UplinkError> {
        HostSide::by_links(
            self.links.values().cloned().collect(),
            &mut self.socket,
            &Netns::current()?,
        )
    }

    /// The news from now on, whoever reads them.
    #[must_use]
    pub fn into_news(self) -> AddressChanges {
        self.news
    }

    fn learn(&mut self, heard: Option<&[Vec<u8>]>) -> Result<(), UplinkError> {
        let told = heard.is_some_and(|heard| learn(&mut self.links, heard).is_ok());
        if !told {
            self.links = by_index(links(&mut self.socket)?);
        }
        Ok(())
    }
}

fn by_index(links: Vec<Link>) -> BTreeMap<u32, Link> {
    links.into_iter().map(|link| (link.index, link)).collect()
}

/// Why the kernel must be asked.
#[derive(Debug, PartialEq, Eq)]
enum Untold {
    /// A link is gone. It may have been the other end of a veth, moved to another namespace, of which the end that
    /// stays does not tell.
    Gone,
    /// A veth was told of before it had its other end, which is not told: the end that is made first.
    Unpaired,
    Malformed(Malformed),
}

/// Brings `links` in line with news, netlink datagrams.
fn learn(links: &mut BTreeMap<u32, Link>, heard: &[Vec<u8>]) -> Result<(), Untold> {
    for message in heard.iter().flat_map(|datagram| messages(datagram)) {
        let message = message.map_err(Untold::Malformed)?;
        // `ifi_family`: bridges tell of their ports under a family of their own.
        let is_of_links = message.payload.first() == Some(&0);
        match message.kind {
            libc::RTM_NEWLINK if is_of_links => {
                let link = read_link(&message).map_err(Untold::Malformed)?;
                links.insert(link.index, link);
            }
            libc::RTM_DELLINK if is_of_links => return Err(Untold::Gone),
            _ => {}
        }
    }
    let is_unpaired = |link: &Link| is_veth(link) && link.lower.is_none_or(|lower| lower == 0);
    if links.values().any(is_unpaired) { Err(Untold::Unpaired) } else { Ok(()) }
}

/// Whether the calling thread's namespace has nothing but its loopback device, as each one has at first. Read from
/// /proc, which takes no RTNL lock; what cannot be read does not have.
fn has_only_loopback() -> bool {
    fs::read_to_string("/proc/thread-self/net/dev").is_ok_and(|text| is_only_loopback(&text))
}

/// By the text of `/proc/net/dev`: two lines of titles, then one for each device.
fn is_only_loopback(text: &str) -> bool {
    let mut devices = text.lines().skip(2).map(str::trim_start);
    devices.next().is_some_and(|line| line.starts_with("lo:")) && devices.next().is_none()
}
