//! Receivers that accept whatever comes: on the attacker's host, and in place of the metadata service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, socket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::lab::Host;

/// What a TCP client gets for its first bytes, so that an HTTP client ends content.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ntaken\n";

/// What applications received on one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// TCP connections accepted.
    pub connections: u64,
    /// Bytes over TCP and SCTP.
    pub tcp_bytes: u64,
    /// UDP datagrams.
    pub datagrams: u64,
    /// Bytes over UDP.
    pub udp_bytes: u64,
}

type Ports = Arc<Mutex<BTreeMap<u16, Received>>>;

/// A host with receivers on the ports it was told.
#[derive(Debug)]
pub struct Sink {
    host: Host,
    ports: Ports,
}

impl Sink {
    /// No receiver yet.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host, ports: Ports::default() }
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Receives TCP, UDP and, where the kernel has it, SCTP on `port` of every address; returns when the sockets are open.
    pub fn listen(&self, port: u16) -> Result<()> {
        for &address in self.host.addresses() {
            let address = SocketAddr::new(address, port);
            let ports = self.ports.clone();
            self.host.run(async move { listen(address, ports).await })??;
        }
        Ok(())
    }

    /// What arrived on `port`.
    #[must_use]
    pub fn received(&self, port: u16) -> Received {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get(&port).copied().unwrap_or_default()
    }
}

async fn listen(address: SocketAddr, ports: Ports) -> Result<()> {
    let tcp = TcpListener::bind(address).await.with_context(|| format!("binding {address}/tcp"))?;
    let udp = UdpSocket::bind(address).await.with_context(|| format!("binding {address}/udp"))?;
    let port = address.port();
    if let Some(sctp) = listen_sctp(address).with_context(|| format!("binding {address}/sctp"))? {
        let ports = ports.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = sctp.accept().await {
                tokio::spawn(swallow(stream, port, ports.clone()));
            }
        });
    }
    let of_udp = ports.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0_u8; 65_535];
        loop {
            let Ok((length, from)) = udp.recv_from(&mut buffer).await else { continue };
            note(&of_udp, port, |received| {
                received.datagrams += 1;
                received.udp_bytes += length as u64;
            });
            udp.send_to(buffer.get(..length).unwrap_or_default(), from).await.ok();
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            note(&ports, port, |received| received.connections += 1);
            tokio::spawn(swallow(stream, port, ports.clone()));
        }
    });
    Ok(())
}

/// One-to-one SCTP (RFC 6458, section 4), whose sockets are used as those of TCP are.
fn listen_sctp(address: SocketAddr) -> Result<Option<TcpListener>> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = match socket(family, SockType::Stream, flags, SockProtocol::Sctp) {
        Err(Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT) => return Ok(None),
        fd => fd?,
    };
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    nix::sys::socket::listen(&fd, Backlog::new(64)?)?;
    Ok(Some(TcpListener::from_std(fd.into())?))
}

async fn swallow(mut stream: TcpStream, port: u16, ports: Ports) {
    let mut buffer = vec![0_u8; 16_384];
    let mut replied = false;
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        note(&ports, port, |received| received.tcp_bytes += length as u64);
        if !replied {
            replied = true;
            stream.write_all(REPLY).await.ok();
        }
    }
}

fn note(ports: &Ports, port: u16, change: impl FnOnce(&mut Received)) {
    change(ports.lock().unwrap_or_else(PoisonError::into_inner).entry(port).or_default());
}
