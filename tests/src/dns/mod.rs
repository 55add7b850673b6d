//! A small programmable DNS server over UDP and TCP: answers from a [`Zone`], and counts the questions.

mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(crate) use self::zone::question;
pub use self::zone::{READY, Records, Zone};
use crate::lab::Host;
use crate::vm::patient;

/// Largest answer over UDP to a client without EDNS (RFC 1035 §4.2.1).
const PLAIN_UDP: u16 = 512;

/// One question that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Lower case, without the final dot.
    pub name: String,
    /// Such as `A`.
    pub kind: String,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// Who asked.
    pub from: IpAddr,
}

/// A running server on every address of its host.
#[derive(Debug)]
pub struct DnsServer {
    host: Host,
    shared: Shared,
}

#[derive(Clone, Debug)]
struct Shared {
    zone: Zone,
    log: Arc<Mutex<Vec<Question>>>,
}

impl DnsServer {
    /// Serves `zone` on port 53 of `host`.
    pub fn start(host: Host, zone: Zone) -> Result<Self> {
        let server = Self { host, shared: Shared { zone, log: Arc::default() } };
        server.listen(53)?;
        Ok(server)
    }

    /// Listens on another port too; returns when both sockets of every address are open.
    pub fn listen(&self, port: u16) -> Result<()> {
        for &address in self.host.addresses() {
            let shared = self.shared.clone();
            self.host
                .run(async move { listen(SocketAddr::new(address, port), shared).await })??;
        }
        Ok(())
    }

    /// The records it answers from; changes apply to the next question.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.shared.zone
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Every question since the start or the last [`Self::forget`].
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many questions for `name` arrived, any record type and any case.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        let name = name.to_lowercase();
        self.questions().iter().filter(|question| question.name == name).count()
    }

    /// Empties the log of questions.
    pub fn forget(&self) {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Shared {
    /// The answer to `request`, or none to what cannot be parsed.
    fn answer(&self, request: &[u8], from: IpAddr, tcp: bool) -> Option<Vec<u8>> {
        let message = Message::from_vec(request).ok()?;
        if let Some(query) = message.queries.first() {
            let question = Question {
                name: query.name().to_lowercase().to_ascii().trim_end_matches('.').to_owned(),
                kind: query.query_type().to_string(),
                tcp,
                from,
            };
            self.log.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        }
        let full = self.zone.answer(&message)?;
        let room =
            message.edns.as_ref().map_or(PLAIN_UDP, |edns| edns.max_payload().max(PLAIN_UDP));
        if tcp || full.len() <= usize::from(room) {
            return Some(full);
        }
        let mut short = Message::from_vec(&full).ok()?.truncate();
        short.queries.clone_from(&message.queries);
        short.to_vec().ok()
    }
}

async fn listen(address: SocketAddr, shared: Shared) -> Result<()> {
    let udp = UdpSocket::bind(address).await.with_context(|| format!("binding {address}/udp"))?;
    let tcp = TcpListener::bind(address).await.with_context(|| format!("binding {address}/tcp"))?;
    tokio::spawn(serve_udp(udp, shared.clone()));
    tokio::spawn(async move {
        while let Ok((stream, from)) = tcp.accept().await {
            tokio::spawn(serve_tcp(stream, from.ip(), shared.clone()));
        }
    });
    Ok(())
}

async fn serve_udp(socket: UdpSocket, shared: Shared) {
    let mut buffer = vec![0_u8; 65_535];
    loop {
        // An ICMP error for an earlier answer shows up here and concerns nobody else.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let request = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = shared.answer(request, from.ip(), false) {
            socket.send_to(&answer, from).await.ok();
        }
    }
}

async fn serve_tcp(mut stream: TcpStream, from: IpAddr, shared: Shared) -> Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut request = vec![0_u8; usize::from(length)];
        stream.read_exact(&mut request).await?;
        let answer = shared.answer(&request, from, true).context("not a DNS message")?;
        stream.write_u16(u16::try_from(answer.len())?).await?;
        stream.write_all(&answer).await?;
    }
}

/// Asks `server` for the address of `name` until it answers, at most `limit`; run inside a host.
pub async fn wait_until_answers(server: SocketAddr, name: &str, limit: Duration) -> Result<()> {
    let request = question(name)?;
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let attempt = async {
        loop {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(server).await?;
            socket.send(&request).await?;
            let mut buffer = [0_u8; 1500];
            let wait = tokio::time::timeout(Duration::from_millis(200), socket.recv(&mut buffer));
            if let Ok(Ok(length)) = wait.await {
                let answer = Message::from_vec(buffer.get(..length).unwrap_or_default())?;
                ensure!(!answer.answers.is_empty(), "{server} answers {name} with nothing");
                return Ok(());
            }
        }
    };
    tokio::time::timeout(patient(limit), attempt)
        .await
        .with_context(|| format!("{server} did not answer within {limit:?}"))?
}
