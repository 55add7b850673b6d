//! Links and addresses as rtnetlink tells them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::{Attributes, Malformed, Message, NetlinkError, Request, Socket};

#[cfg(test)]
mod tests;

/// Size of `struct ifinfomsg`.
const LINK_HEADER_BYTES: usize = 16;
/// Size of `struct ifaddrmsg`.
const ADDRESS_HEADER_BYTES: usize = 8;
/// `IFF_LOOPBACK`, of `linux/if.h`.
const LOOPBACK: u32 = 0x8;
/// Types of `linux/if_link.h`.
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
/// `RTEXT_FILTER_SKIP_STATS`: counters are half of what a listing of links is made of.
const SKIP_STATISTICS: u32 = 1 << 3;
/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
/// Types of `linux/if_addr.h`.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// Types of `linux/net_namespace.h`.
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) is_loopback: bool,
    /// What made it: `veth`, `bridge`, `macvlan`…; none of a device of the hardware.
    pub(super) kind: Option<String>,
    /// The index of a veth's peer, of what a macvlan or VLAN stands on, of a tunnel's device.
    pub(super) lower: Option<u32>,
    /// In which namespace `lower` is, if it is not this one: the id that this namespace gave to it.
    pub(super) lower_namespace: Option<i32>,
    /// The bridge, bond or VRF that it belongs to.
    pub(super) master: Option<u32>,
}

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The interface.
    pub(super) index: u32,
    /// The interface's own address.
    pub(super) local: IpAddr,
    /// An address of the network that it is on: its own, or a point-to-point link's other end.
    pub(super) network: IpAddr,
    pub(super) prefix: u8,
    /// `RT_SCOPE_…`; 0 is global.
    pub(super) scope: u8,
    /// `IFA_F_…`.
    pub(super) flags: u32,
}

/// Every link of the socket's namespace.
pub(super) fn links(socket: &mut Socket) -> Result<Vec<Link>, NetlinkError> {
    let request = Request::new(libc::RTM_GETLINK, &[0; LINK_HEADER_BYTES])
        .attribute(IFLA_EXT_MASK, &SKIP_STATISTICS.to_ne_bytes())?;
    socket.dump(&request, |message| Ok(Some(read_link(message)?)))
}

/// Every IPv4 and IPv6 address of the socket's namespace.
///
/// Asked for family by family: Linux 6.9 and later answer that without the RTNL lock, for which a question for all
/// families waits (`rtnl_dump_all`), 0.3 s and more while CNI is at work for a burst of pods.
pub(super) fn addresses(socket: &mut Socket) -> Result<Vec<Address>, NetlinkError> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let mut header = [0; ADDRESS_HEADER_BYTES];
        if let Some(first) = header.first_mut() {
            *first = family;
        }
        found.extend(socket.dump(&Request::new(libc::RTM_GETADDR, &header), read_address)?);
    }
    Ok(found)
}

/// The id that the socket's namespace gave to the namespace behind `descriptor`; none if it never
/// met it.
pub(super) fn namespace_id(
    socket: &mut Socket,
    descriptor: std::os::fd::BorrowedFd<'_>,
) -> Result<Option<i32>, NetlinkError> {
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&descriptor);
    // `struct rtgenmsg`: the address family, and padding.
    let request =
        Request::new(libc::RTM_GETNSID, &[0; 4]).attribute(NETNSA_FD, &descriptor.to_ne_bytes())?;
    socket.get(request, read_namespace_id)
}

fn read_namespace_id(message: &Message<'_>) -> Result<Option<i32>, Malformed> {
    let (_family, attributes) = message.split(4)?;
    for attribute in attributes {
        if let (NETNSA_NSID, value) = attribute? {
            // NETNSA_NSID_NOT_ASSIGNED is -1.
            return Ok(Some(i32::from_ne_bytes(whole(value)?)).filter(|&id| id >= 0));
        }
    }
    Ok(None)
}

pub(super) fn read_link(message: &Message<'_>) -> Result<Link, Malformed> {
    let (header, attributes) = message.split(LINK_HEADER_BYTES)?;
    let &[_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = header else { return Err(Malformed) };
    let mut link = Link {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        is_loopback: u32::from_ne_bytes([f0, f1, f2, f3]) & LOOPBACK != 0,
        ..Link::default()
    };
    for attribute in attributes {
        let (kind, value) = attribute?;
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_LINK => link.lower = Some(u32::from_ne_bytes(whole(value)?)),
            IFLA_LINK_NETNSID => link.lower_namespace = Some(i32::from_ne_bytes(whole(value)?)),
            IFLA_MASTER => link.master = Some(u32::from_ne_bytes(whole(value)?)),
            IFLA_LINKINFO => {
                for attribute in Attributes::nested(value) {
                    if let (IFLA_INFO_KIND, value) = attribute? {
                        link.kind = Some(text(value));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(link)
}

fn read_address(message: &Message<'_>) -> Result<Option<Address>, Malformed> {
    let (header, attributes) = message.split(ADDRESS_HEADER_BYTES)?;
    let &[family, prefix, flags, scope, i0, i1, i2, i3] = header else { return Err(Malformed) };
    let family = i32::from(family);
    let (mut network, mut local, mut flags) = (None, None, u32::from(flags));
    for attribute in attributes {
        match attribute? {
            (IFA_ADDRESS, value) => network = address(family, value)?,
            (IFA_LOCAL, value) => local = address(family, value)?,
            (IFA_FLAGS, value) => flags = u32::from_ne_bytes(whole(value)?),
            _ => {}
        }
    }
    // IPv6 has no IFA_LOCAL but on point-to-point links; IPv4 has none without IFA_ADDRESS.
    let (Some(local), Some(network)) = (local.or(network), network.or(local)) else {
        return Ok(None);
    };
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    Ok(Some(Address { index, local, network, prefix, scope, flags }))
}

fn address(family: i32, value: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    Ok(match family {
        libc::AF_INET => Some(Ipv4Addr::from(whole::<4>(value)?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(whole::<16>(value)?).into()),
        _ => None,
    })
}

/// All of a value, which must be as long as its type.
fn whole<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_other_length| Malformed)
}

/// Text up to its NUL. An interface's name may be any bytes but `/` and white space.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}
