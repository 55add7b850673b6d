//! Where a pod's packets leave: the interfaces whose other end the agent's own namespace holds.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
};

use ipnet::IpNet;

use super::{
    Netns, NetnsError, NetnsId,
    link::{Address, Link, addresses, links, namespace_id},
    netlink::{NetlinkError, Socket},
};

#[cfg(test)]
mod tests;

/// A pod's network could not be read, or cannot be held from the host's side.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel could not be asked.
    #[error("reading the links of the pod")]
    Netlink(#[from] NetlinkError),
    /// The pod is on the host's network: it has no uplink of its own.
    #[error("the pod shares the host's network namespace {0}")]
    HostNetwork(NetnsId),
    /// No veth leads out of the pod.
    #[error("the pod has no veth whose other end is on this host")]
    NoUplink,
    /// Something else than a veth leads out, which no program on the host's side sees.
    #[error(
        "the pod's interface {name} is a {kind}, not a veth: what leaves by it is not seen here"
    )]
    NotVeth {
        /// Its name inside.
        name: String,
        /// What it is, as `ip -d link` says; `device` for one of the hardware.
        kind: String,
    },
}

/// A veth that leads out of the pod to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The interface index of the pod's end, in the pod's namespace.
    pub inside: u32,
    /// The interface index of the host's end, in the agent's namespace.
    pub host: u32,
    /// The name of the pod's end now; a pod may change it.
    pub name: String,
}

/// An interface that leads out of the pod and is not a veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Its interface index, in the pod's namespace.
    pub inside: u32,
    /// Its name inside.
    pub name: String,
    /// What it is, as `ip -d link` says; `device` for one of the hardware.
    pub kind: String,
}

/// The addresses at which the pod is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodAddresses {
    /// The first global IPv4 address of an uplink.
    pub v4: Option<Ipv4Addr>,
    /// The first global IPv6 address of an uplink; never a link-local one.
    pub v6: Option<Ipv6Addr>,
}

impl PodAddresses {
    /// What there is, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

/// A pod's network at one moment, as its namespace and the host's tell it.
#[derive(Clone, Debug)]
pub struct HostSide {
    /// Every veth to the host, by index inside.
    pub uplinks: Vec<Uplink>,
    /// Whatever else leads out.
    pub uncovered: Vec<Uncovered>,
    links: Vec<Link>,
    addresses: Vec<Address>,
}

/// Finds what leads out of `netns`. To be called in the namespace that the host's ends are in.
///
/// Names tell nothing: the kernel says of each interface in which namespace its other end is, and
/// whether that is ours. A veth with both ends inside, or with one in a namespace nested in the pod,
/// leads nowhere. The host's end is not asked for: that takes the RTNL lock, and tells nothing more.
///
/// # Errors
///
/// When `netns` is the caller's own, or cannot be read.
pub fn host_side(netns: &Netns) -> Result<HostSide, UplinkError> {
    let own = Netns::current()?;
    if own.id() == netns.id() {
        return Err(UplinkError::HostNetwork(own.id()));
    }
    netns.enter(|| -> Result<HostSide, UplinkError> {
        let mut socket = Socket::route()?;
        let links = links(&mut socket)?;
        let addresses = addresses(&mut socket)?;
        // After the links: listing a veth is what gives its peer's namespace an id.
        let side = HostSide::by_links(links, &mut socket, &own)?;
        Ok(HostSide { addresses, ..side })
    })?
}

/// Where an interface leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way<'a> {
    Nowhere,
    /// To the host, at the interface with this index.
    Veth(u32),
    /// Out, by an interface of this kind.
    Other(&'a str),
}

fn leads_out(link: &Link, host: Option<i32>) -> Way<'_> {
    let is_ours = link.lower_namespace.is_some() && link.lower_namespace == host;
    match (link.kind.as_deref(), link.lower) {
        (Some("veth"), Some(peer)) if is_ours => Way::Veth(peer),
        (Some(kind), _) if is_ours => Way::Other(kind),
        // Whatever a job can make has a kind; without one it is hardware that was moved in.
        (None, _) if !link.is_loopback => Way::Other("device"),
        _ => Way::Nowhere,
    }
}

/// All addresses of the caller's network namespace.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn own_addresses() -> Result<BTreeSet<IpAddr>, UplinkError> {
    let addresses = addresses(&mut Socket::route()?)?;
    Ok(addresses.into_iter().map(|address| address.local).collect())
}

impl HostSide {
    /// What leads to `host`, the agent's namespace, by these links of the namespace of `socket`.
    pub(super) fn by_links(
        mut links: Vec<Link>,
        socket: &mut Socket,
        host: &Netns,
    ) -> Result<Self, UplinkError> {
        let host = namespace_id(socket, host.as_fd())?;
        links.sort_unstable_by_key(|link| link.index);
        let (mut uplinks, mut uncovered) = (Vec::new(), Vec::new());
        for link in &links {
            let (inside, name) = (link.index, link.name.clone());
            match leads_out(link, host) {
                Way::Nowhere => {}
                Way::Veth(host) => uplinks.push(Uplink { inside, host, name }),
                Way::Other(kind) => {
                    uncovered.push(Uncovered { inside, name, kind: kind.to_owned() });
                }
            }
        }
        Ok(Self { uplinks, uncovered, links, addresses: Vec::new() })
    }

    /// The same links with the addresses that they have now. To be called in the pod's namespace.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn read_addresses(&mut self) -> Result<(), UplinkError> {
        self.addresses = addresses(&mut Socket::route()?)?;
        Ok(())
    }

    /// The uplinks, if they are all that leads out.
    ///
    /// # Errors
    ///
    /// [`UplinkError::NotVeth`] and [`UplinkError::NoUplink`].
    pub fn require_veth(&self) -> Result<&[Uplink], UplinkError> {
        if let Some(Uncovered { name, kind, .. }) = self.uncovered.first() {
            return Err(UplinkError::NotVeth { name: name.clone(), kind: kind.clone() });
        }
        if self.uplinks.is_empty() {
            return Err(UplinkError::NoUplink);
        }
        Ok(&self.uplinks)
    }

    /// Indexes inside by which packets from outside the pod may come in: the ways out, what they
    /// belong to (a bridge, a bond), and what stands on them (a VLAN, a macvlan).
    #[must_use]
    pub fn entrances(&self) -> BTreeSet<u32> {
        let mut found: BTreeSet<u32> = self.ways_out().collect();
        loop {
            let before = found.len();
            for link in &self.links {
                let stands_on = link
                    .lower
                    .filter(|_| link.lower_namespace.is_none() && !is_veth(link))
                    .is_some_and(|lower| found.contains(&lower));
                if stands_on {
                    found.insert(link.index);
                }
                found.extend(link.master.filter(|_| found.contains(&link.index)));
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Addresses on the uplinks, for the listener of the pod.
    #[must_use]
    pub fn uplink_addresses(&self) -> PodAddresses {
        let mut usable: Vec<_> =
            self.addresses.iter().filter(|address| is_usable(address)).collect();
        // A secondary or temporary address goes before the one that it hangs on.
        usable.sort_by_key(|address| (address.flags & IFA_F_SECONDARY, address.index));
        let of_uplinks = || {
            let is_uplink = |index| self.uplinks.iter().any(|uplink| uplink.inside == index);
            usable.iter().filter(move |address| is_uplink(address.index))
        };
        PodAddresses {
            v4: of_uplinks().find_map(|address| match address.local {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            }),
            v6: of_uplinks().find_map(|address| match address.local {
                IpAddr::V6(v6) => Some(v6),
                IpAddr::V4(_) => None,
            }),
        }
    }

    /// What the pod says is within it: the networks of its own bridges and dummies, and each address
    /// of its own.
    ///
    /// A claim of the pod: with `CAP_NET_ADMIN` a job gives itself any address. So only private
    /// networks are believed, others address by address, and none of this may let anything pass at the
    /// host's side, where what is truly within the pod is never seen.
    #[must_use]
    pub fn own_networks(&self) -> Vec<IpNet> {
        let ways_out: BTreeSet<u32> = self.ways_out().collect();
        let mut networks = BTreeSet::new();
        for address in &self.addresses {
            networks.insert(IpNet::from(address.local));
            if ways_out.contains(&address.index) {
                continue;
            }
            let network = IpNet::new(address.network, address.prefix).map(|net| net.trunc());
            networks.extend(network.ok().filter(is_private));
        }
        networks.into_iter().collect()
    }

    fn ways_out(&self) -> impl Iterator<Item = u32> {
        let uplinks = self.uplinks.iter().map(|uplink| uplink.inside);
        uplinks.chain(self.uncovered.iter().map(|uncovered| uncovered.inside))
    }
}

pub(super) fn is_veth(link: &Link) -> bool {
    link.kind.as_deref() == Some("veth")
}

/// `IFA_F_SECONDARY` and, for IPv6, `IFA_F_TEMPORARY`.
const IFA_F_SECONDARY: u32 = 0x01;
/// Another host has the address.
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_DEPRECATED: u32 = 0x20;

fn is_usable(address: &Address) -> bool {
    // A scope of 0 is global (rtnetlink(7)).
    address.scope == 0 && address.flags & (IFA_F_DADFAILED | IFA_F_DEPRECATED) == 0
}

/// RFC 1918, RFC 6598, RFC 4193 and loopback. Not link-local networks: metadata services are there.
const PRIVATE: [(IpAddr, u8); 7] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

fn is_private(network: &IpNet) -> bool {
    PRIVATE.iter().any(|&(address, prefix)| {
        IpNet::new(address, prefix).is_ok_and(|private| private.contains(network))
    })
}
