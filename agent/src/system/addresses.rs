//! The addresses of this machine, and the news that they changed.

use std::{io, net::IpAddr, os::fd::OwnedFd};

use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
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

/// A netlink socket that hears of every address that comes or goes.
#[derive(Debug)]
pub struct AddressChanges {
    socket: AsyncFd<OwnedFd>,
}

/// `RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR` (rtnetlink(7)).
const ADDRESS_GROUPS: u32 = 0x10 | 0x100;

impl AddressChanges {
    /// Subscribes; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn subscribe() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        )?;
        bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &NetlinkAddr::new(0, ADDRESS_GROUPS))?;
        // SAFETY: the descriptor is owned by the `AsyncFd` and closed only after deregistration.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket })
    }

    /// Waits for a change. What changed is read anew by [`own_addresses`].
    ///
    /// # Errors
    ///
    /// When the socket can no longer be read.
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut message = [0_u8; 4096];
        loop {
            let mut guard = self.socket.readable().await?;
            let received = guard.try_io(|socket| {
                let descriptor = std::os::fd::AsRawFd::as_raw_fd(socket.get_ref());
                recv(descriptor, &mut message, MsgFlags::empty()).map_err(io::Error::from)
            });
            match received {
                Ok(Ok(_)) => return Ok(()),
                // Messages were lost: something changed.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}
