//! The sockets that one pod's questions arrive on, bound before they are served.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

#[cfg(test)]
mod tests;

/// How often a port that is free for one socket and taken for the next is given up for another.
const ATTEMPTS: usize = 32;

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
        let mut last = io::Error::from(io::ErrorKind::InvalidInput);
        for _ in 0..ATTEMPTS {
            match Self::bind_once(addresses, port) {
                Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    fn bind_once(addresses: &[IpAddr], port: u16) -> io::Result<Self> {
        let mut listener = Self { udp: Vec::new(), tcp: Vec::new(), port };
        for &address in addresses {
            let udp = UdpSocket::bind(SocketAddr::new(address, listener.port))?;
            listener.port = udp.local_addr()?.port();
            let tcp = TcpListener::bind(SocketAddr::new(address, listener.port))?;
            tcp.set_nonblocking(true)?;
            listener.udp.push(udp);
            listener.tcp.push(tcp);
        }
        if listener.udp.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(listener)
    }

    /// The port that all sockets share.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether IPv6 is served too.
    #[must_use]
    pub fn has_v6(&self) -> bool {
        self.udp.iter().any(|socket| socket.local_addr().is_ok_and(|address| address.is_ipv6()))
    }
}
