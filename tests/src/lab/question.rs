//! Questions and who answers them: plain text over UDP and TCP, which says by whom it was answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::Host;
use crate::vm::patient;

/// How long a silence lasts before it counts as one. An answer takes less than a millisecond.
pub const SILENCE: Duration = Duration::from_millis(400);
/// How long an answer may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(10);
const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

/// What a question goes by.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// One connection.
    Tcp,
}

/// The pod's own listener.
pub const POD_LISTENER: &str = "pod";
/// Anybody else.
pub const OTHER: &str = "other";

/// Answers datagrams as `name`.
pub async fn answer_udp(socket: UdpSocket, name: &'static str) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let question = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        socket.send_to(format!("{name}: {question}").as_bytes(), from).await.ok();
    }
}

/// Answers connections as `name`.
pub async fn answer_tcp(socket: TcpListener, name: &'static str) {
    while let Ok((mut stream, _)) = socket.accept().await {
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            if let Ok(length) = stream.read(&mut buffer).await {
                let question = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                stream.write_all(format!("{name}: {question}").as_bytes()).await.ok();
            }
        });
    }
}

/// What `server` answers, if anything. The sockets are connected, so that an answer which seems to come
/// from elsewhere is none.
pub async fn ask(
    server: SocketAddr,
    transport: Transport,
    wait: Duration,
) -> Result<Option<String>> {
    let wait = patient(wait);
    let question = format!("{transport:?} {server}");
    let mut buffer = [0; 512];
    let length = match transport {
        Transport::Udp => {
            let any: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(server).await?;
            socket.send(question.as_bytes()).await?;
            timeout(wait, socket.recv(&mut buffer)).await
        }
        Transport::Tcp => {
            let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // Refused, unreachable and silent are all no answer.
            let Ok(Ok(mut stream)) = timeout(wait, socket.connect(server)).await else {
                return Ok(None);
            };
            ensure!(stream.peer_addr()? == server);
            stream.write_all(question.as_bytes()).await?;
            timeout(wait, stream.read(&mut buffer)).await
        }
    };
    let Ok(length) = length else { return Ok(None) };
    let text = String::from_utf8_lossy(buffer.get(..length?).context("length")?).into_owned();
    let (name, echo) = text.split_once(": ").context("an answer to nothing")?;
    ensure!(echo == question, "{question} was answered {text}");
    Ok(Some(name.to_owned()))
}

/// Asks `server` from `host` by UDP and TCP; an error unless `by` answers, or nobody if that is none.
pub fn answered(host: &Host, server: impl Into<SocketAddr>, by: Option<&str>) -> Result<()> {
    let server = server.into();
    for transport in BOTH {
        let wait = if by.is_some() { LIMIT } else { SILENCE };
        let got = host.run(ask(server, transport, wait))?;
        let got = got.with_context(|| format!("asking {server} by {transport:?}"))?;
        ensure!(got.as_deref() == by, "{server} by {transport:?}: {got:?}, expected {by:?}");
    }
    Ok(())
}

/// Answers at `at` on `host` as [`OTHER`].
pub fn serve(host: &Host, at: SocketAddr) -> Result<()> {
    host.run(async move {
        let udp = UdpSocket::bind(at).await?;
        let tcp = TcpListener::bind(at).await?;
        tokio::spawn(answer_udp(udp, OTHER));
        tokio::spawn(answer_tcp(tcp, OTHER));
        anyhow::Ok(())
    })?
}
