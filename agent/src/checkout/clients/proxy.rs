//! A proxy on loopback that refuses everything and remembers what it was first asked for.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::checkout::endpoint::{self, Endpoint, NoEndpoint};

const REFUSAL: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// How long one connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request line, in bytes.
const REQUEST_LINE: usize = 8 * 1024;

/// The listening proxy.
#[derive(Debug)]
pub(super) struct RefusingProxy {
    listener: TcpListener,
    address: SocketAddr,
}

impl RefusingProxy {
    /// Listens on a port of the kernel's choice.
    pub(super) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the first client that says so wants to go. Connections that say nothing are let go.
    pub(super) async fn first_contact(&self) -> Result<Endpoint, NoEndpoint> {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else { continue };
            let line = timeout(PATIENCE, request_line(&mut stream)).await.ok().flatten();
            // Whoever it was may have gone.
            stream.write_all(REFUSAL).await.ok();
            if let Some(line) = line
                && let Some(contact) = destination(&line)
            {
                return contact;
            }
        }
    }
}

async fn request_line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.contains(&b'\n') {
        if line.len() >= REQUEST_LINE || stream.read_buf(&mut line).await.ok()? == 0 {
            return None;
        }
    }
    let end = line.iter().position(|byte| *byte == b'\n')?;
    line.truncate(end);
    String::from_utf8(line).ok()
}

/// `CONNECT host:port HTTP/1.1`, or `GET http://host/path HTTP/1.1` (RFC 9112 §3.2).
fn destination(line: &str) -> Option<Result<Endpoint, NoEndpoint>> {
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    if method == "CONNECT" {
        return Some(endpoint::url(&format!("https://{target}/")));
    }
    target.contains("://").then(|| endpoint::url(target))
}
