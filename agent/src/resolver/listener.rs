//! The sockets that one pod's questions arrive on, bound before they are served.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt::ReuseAddr,
};

#[cfg(test)]
mod tests;

/// How often a port that is free for one socket and taken for the next is given up for another.
const ATTEMPTS: usize = 32;
/// How many connections wait to be accepted, as the standard library has it.
const BACKLOG: i32 = 128;

/// The IP versions over which a pod reaches its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

/// UDP and TCP sockets of one pod, all on the same port.
///
/// Each is bound to one address, so that an answer's source is the address that was asked.
#[derive(Debug)]
pub struct Listener {
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<TcpListener>,
    port: u16,
}

impl Listener {
    /// Binds 127.0.0.1 and, where the network namespace of the calling thread has it, `::1`, to one
    /// port of the kernel's choosing.
    pub fn bind_loopback() -> io::Result<Self> {
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        match UdpSocket::bind((v6, 0)) {
            Ok(_) => addresses.push(v6),
            // No IPv6 in this kernel, or no such address on `lo`.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
                ) => {}
            Err(error) => return Err(error),
        }
        Self::bind(&addresses, 0)
    }

    /// Binds UDP and TCP on every one of `addresses`, on `port` or, if that is 0, on one port that
    /// is free on all of them.
    pub fn bind(addresses: &[IpAddr], port: u16) -> io::Result<Self> {
        Self::bind_prepared(addresses, port, |_socket| Ok(()))
    }

    /// As [`Self::bind`]; each socket goes through `prepare` before it gets its address, and so before
    /// anything can reach it.
    pub fn bind_prepared(
        addresses: &[IpAddr],
        port: u16,
        prepare: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::InvalidInput);
        for _ in 0..ATTEMPTS {
            match Self::bind_once(addresses, port, &prepare) {
                Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    fn bind_once(
        addresses: &[IpAddr],
        port: u16,
        prepare: &impl Fn(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut listener = Self { udp: Vec::new(), tcp: Vec::new(), port };
        for &address in addresses {
            let udp = open(SocketAddr::new(address, listener.port), SockType::Datagram, prepare)?;
            let udp = UdpSocket::from(udp);
            listener.port = udp.local_addr()?.port();
            let tcp = open(SocketAddr::new(address, listener.port), SockType::Stream, prepare)?;
            listen(&tcp, Backlog::new(BACKLOG)?)?;
            let tcp = TcpListener::from(tcp);
            tcp.set_nonblocking(true)?;
            listener.udp.push(udp);
            listener.tcp.push(tcp);
        }
        if listener.udp.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(listener)
    }

    /// The sockets themselves, for whoever serves them otherwise than this module; those of TCP do not
    /// block.
    #[must_use]
    pub fn into_sockets(self) -> (Vec<UdpSocket>, Vec<TcpListener>) {
        (self.udp, self.tcp)
    }

    /// The port that all sockets share.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether IPv6 is served too.
    #[must_use]
    pub fn has_v6(&self) -> bool {
        self.versions().v6
    }

    /// The IP versions that are served.
    pub(super) fn versions(&self) -> Versions {
        let addresses = || self.udp.iter().filter_map(|socket| socket.local_addr().ok());
        Versions {
            v4: addresses().any(|address| address.is_ipv4()),
            v6: addresses().any(|address| address.is_ipv6()),
        }
    }
}

/// A socket with an address.
fn open(
    address: SocketAddr,
    kind: SockType,
    prepare: &impl Fn(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if kind == SockType::Stream {
        // Connections of a former listener on the port may still be closing.
        setsockopt(&socket, ReuseAddr, &true)?;
    }
    prepare(socket.as_fd())?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}
