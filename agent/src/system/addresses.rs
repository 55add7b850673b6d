//! The addresses of this machine, and the news that they changed.

use std::{
    io::{self, IoSliceMut},
    net::IpAddr,
    os::fd::OwnedFd,
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv,
        recvmsg, socket,
    },
};
use tokio::io::unix::AsyncFd;

/// All addresses of this network namespace's devices.
///
/// # Errors
///
/// What the system said.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = getifaddrs()?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// What an [`AddressChanges`] hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Every address that comes or goes.
    Addresses,
    /// Addresses, and every interface that comes, goes or changes.
    LinksAndAddresses,
    /// Every table, chain, rule and set of nftables.
    Nftables,
}

impl Groups {
    /// The multicast groups of `rtnetlink(7)`: `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`,
    /// `RTMGRP_IPV6_IFADDR`; `NFNLGRP_NFTABLES` of `linux/netfilter/nfnetlink.h`, the seventh.
    const fn mask(self) -> u32 {
        match self {
            Self::Addresses => 0x10 | 0x100,
            Self::LinksAndAddresses => 0x1 | 0x10 | 0x100,
            Self::Nftables => 1 << 6,
        }
    }

    const fn protocol(self) -> SockProtocol {
        match self {
            Self::Addresses | Self::LinksAndAddresses => SockProtocol::NetlinkRoute,
            Self::Nftables => SockProtocol::NetlinkNetFilter,
        }
    }
}

/// A netlink socket that hears of changes in the network namespace in which it was opened.
#[derive(Debug)]
pub struct AddressChanges {
    socket: AsyncFd<OwnedFd>,
}

/// How many messages are taken for one change. Whoever floods the socket keeps nobody longer.
const MESSAGES_AT_ONCE: usize = 256;

impl AddressChanges {
    /// Subscribes to the addresses of this namespace; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn subscribe() -> io::Result<Self> {
        Self::register(Self::open(Groups::Addresses)?)
    }

    /// Opens the socket in the calling thread's namespace; needs no runtime.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn open(groups: Groups) -> io::Result<OwnedFd> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            groups.protocol(),
        )?;
        bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &NetlinkAddr::new(0, groups.mask()))?;
        Ok(socket)
    }

    /// Waits from now on for what a socket of [`Self::open`] hears; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn register(socket: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by the `AsyncFd` and closed only after deregistration.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket })
    }

    /// Waits for a change and takes what else is there already. What changed is read anew, by
    /// [`own_addresses`] for one.
    ///
    /// # Errors
    ///
    /// When the socket can no longer be read.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.socket.readable().await?;
            match guard.try_io(|socket| drain(socket.get_ref())) {
                Ok(drained) => return drained,
                Err(_would_block) => {}
            }
        }
    }
}

impl AddressChanges {
    /// What has been heard and not been taken, without waiting for more: netlink datagrams of the kernel. `None` when
    /// some of it was lost, or there is more than a bound.
    ///
    /// # Errors
    ///
    /// When the socket can no longer be read.
    pub fn take(&self) -> io::Result<Option<Vec<Vec<u8>>>> {
        take(self.socket.get_ref())
    }

    /// As [`Self::take`], and waits until there is something.
    ///
    /// # Errors
    ///
    /// When the socket can no longer be read.
    pub async fn heard(&mut self) -> io::Result<Option<Vec<Vec<u8>>>> {
        loop {
            let mut guard = self.socket.readable().await?;
            let taken = guard.try_io(|socket| match take(socket.get_ref())? {
                Some(datagrams) if datagrams.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            });
            if let Ok(taken) = taken {
                return taken;
            }
        }
    }
}

fn take(socket: &OwnedFd) -> io::Result<Option<Vec<Vec<u8>>>> {
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(socket);
    let mut buffer = [0_u8; 8192];
    let mut datagrams = Vec::new();
    for _ in 0..MESSAGES_AT_ONCE {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        // The length of the datagram, though it does not fit.
        let flags = MsgFlags::MSG_TRUNC;
        let (length, sender) = match recvmsg::<NetlinkAddr>(descriptor, &mut parts, None, flags) {
            Ok(received) => (received.bytes, received.address),
            Err(Errno::EAGAIN) => return Ok(Some(datagrams)),
            Err(Errno::ENOBUFS) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Who has CAP_NET_ADMIN in the namespace may send to the groups as well; the kernel is 0.
        if sender.is_none_or(|sender| sender.pid() != 0) {
            continue;
        }
        match buffer.get(..length) {
            Some(datagram) => datagrams.push(datagram.to_vec()),
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Takes all messages, up to a bound. That there is none is an error.
fn drain(socket: &OwnedFd) -> io::Result<()> {
    let mut message = [0_u8; 4096];
    for taken in 0..MESSAGES_AT_ONCE {
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(socket);
        match recv(descriptor, &mut message, MsgFlags::empty()) {
            // ENOBUFS: messages were lost, so something changed.
            Ok(_) | Err(Errno::ENOBUFS) => {}
            Err(Errno::EAGAIN) if taken > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
