//! Asks upstream servers: one question in a message of our own making, over UDP, and over TCP if the
//! answer did not fit.
//!
//! A forger who cannot see the query has to guess a random id and a random port (RFC 5452), both new
//! for each attempt; the socket is connected, so the kernel drops what others send. Nothing that the
//! client sent is in the query but the lower-cased name and the type.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{timeout, timeout_at};

use super::answer::{self, AnswerError, Lifetimes};
use super::entry::Entry;
use super::reply::{ExtendedError, UDP_PAYLOAD};
use super::settings::ResolverSettings;
use super::upstreams::Upstreams;
use super::wire::{CLASS_IN, HEADER_LEN, flag, rtype};

/// More than any server sends to a client that takes [`UDP_PAYLOAD`].
const RECEIVE_BYTES: usize = 4096;
/// How often a lone server is asked: a datagram may be lost.
const MIN_ATTEMPTS: usize = 3;

/// Why one attempt gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    /// The system's source of randomness failed; an id that can be guessed is not sent.
    #[error("drawing a query id failed")]
    Random(#[source] getrandom::Error),
    /// Sending or receiving failed.
    #[error("talking to the server failed")]
    Network(#[from] io::Error),
    /// Nothing came in time.
    #[error("the server did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
    /// Something came and is not believed.
    #[error("the server's answer is not usable")]
    Answer(#[from] AnswerError),
}

impl AttemptError {
    /// What the client is told; nothing about who was asked.
    fn extended(&self) -> ExtendedError {
        let (code, text) = match self {
            Self::Random(_) => (ExtendedError::OTHER, "weir: no randomness for a query id"),
            Self::Network(_) => (ExtendedError::NETWORK_ERROR, "weir: upstream is unreachable"),
            Self::Timeout(_) => {
                (ExtendedError::NO_REACHABLE_AUTHORITY, "weir: no upstream answered in time")
            }
            Self::Answer(AnswerError::ServerFailure(_)) => {
                (ExtendedError::NO_REACHABLE_AUTHORITY, "weir: upstream could not answer")
            }
            Self::Answer(_) => (ExtendedError::OTHER, "weir: upstream's answer is not usable"),
        };
        ExtendedError::new(code, text)
    }
}

/// The servers, and which of them answered last.
#[derive(Debug)]
pub(super) struct Client {
    upstreams: Upstreams,
    preferred: AtomicUsize,
}

impl Client {
    pub(super) fn new(upstreams: Upstreams) -> Self {
        Self { upstreams, preferred: AtomicUsize::new(0) }
    }

    pub(super) fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// Asks one server after the other, the last good one first, until one answers or time is up.
    pub(super) async fn ask(
        &self,
        name: &[u8],
        qtype: u16,
        settings: &ResolverSettings,
    ) -> Result<Entry, ExtendedError> {
        let servers = self.upstreams.servers();
        let deadline = tokio::time::Instant::now() + settings.query_timeout;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = ExtendedError::new(ExtendedError::OTHER, "weir: no upstream was asked");
        let mut unusable = 0;
        for attempt in 0..servers.len().max(MIN_ATTEMPTS) {
            let index = (first + attempt) % servers.len();
            let Some(&server) = servers.get(index) else { break };
            let ends = deadline.min(tokio::time::Instant::now() + settings.upstream_timeout);
            let outcome = match timeout_at(ends, attempt_at(server, name, qtype, settings)).await {
                Ok(outcome) => outcome,
                Err(elapsed) => Err(AttemptError::Timeout(elapsed)),
            };
            match outcome {
                Ok(entry) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(entry);
                }
                Err(error) => {
                    tracing::debug!(%server, error = %chain(&error), "upstream attempt failed");
                    failure = error.extended();
                    // Each server has said what it has to say: asking again changes nothing.
                    if !matches!(error, AttemptError::Timeout(_)) {
                        unusable += 1;
                    }
                    if unusable >= servers.len() || tokio::time::Instant::now() >= deadline {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

async fn attempt_at(
    server: SocketAddr,
    name: &[u8],
    qtype: u16,
    settings: &ResolverSettings,
) -> Result<Entry, AttemptError> {
    let limits =
        Lifetimes { max_ttl: settings.max_ttl, max_negative_ttl: settings.max_negative_ttl };
    let query = Query::new(name, qtype)?;
    let message = timeout(settings.upstream_timeout, over_udp(server, &query)).await??;
    match answer::check(&message, name, qtype, limits, Instant::now()) {
        Err(AnswerError::Truncated) => {}
        other => return Ok(other?),
    }
    let query = Query::new(name, qtype)?;
    let message = over_tcp(server, &query).await?;
    Ok(answer::check(&message, name, qtype, limits, Instant::now())?)
}

/// The answer to `query`; whatever does not echo its id and question is passed over.
async fn over_udp(server: SocketAddr, query: &Query) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&query.message).await?;
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if buffer.get(..len).is_some_and(|message| query.is_answered_by(message)) {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &Query) -> Result<Vec<u8>, AttemptError> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let len = u16::try_from(query.message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], &query.message].concat()).await?;
    let len = stream.read_u16().await?;
    let mut message = vec![0; len.into()];
    stream.read_exact(&mut message).await?;
    if query.is_answered_by(&message) {
        Ok(message)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not an answer to the query").into())
    }
}

/// A query in wire form.
struct Query {
    message: Vec<u8>,
    question_end: usize,
}

impl Query {
    fn new(name: &[u8], qtype: u16) -> Result<Self, AttemptError> {
        let id = random_id()?;
        let mut message = Vec::with_capacity(HEADER_LEN + name.len() + 4 + 11);
        for word in [id, flag::RECURSION_DESIRED, 1, 0, 0, 1] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        message.extend_from_slice(name);
        message.extend_from_slice(&qtype.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        let question_end = message.len();
        // OPT (RFC 6891 §6.1.2): root, our payload, version 0, no flags, no options.
        message.push(0);
        for word in [rtype::OPT, UDP_PAYLOAD, 0, 0, 0] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        Ok(Self { message, question_end })
    }

    /// Whether `message` is a response with this query's id, opcode and one question.
    fn is_answered_by(&self, message: &[u8]) -> bool {
        let (Some(asked), Some(echoed)) =
            (self.message.get(..self.question_end), message.get(..self.question_end))
        else {
            return false;
        };
        let same = |range: std::ops::Range<usize>| asked.get(range.clone()) == echoed.get(range);
        let response = echoed.get(2).is_some_and(|flags| flags & 0xf8 == 0x80);
        let question = |message: &[u8]| message.get(HEADER_LEN..).map(<[u8]>::to_ascii_lowercase);
        response && same(0..2) && same(4..6) && question(asked) == question(echoed)
    }
}

/// A query id from the system's generator.
fn random_id() -> Result<u16, AttemptError> {
    let [a, b, ..] = getrandom::u32().map_err(AttemptError::Random)?.to_be_bytes();
    Ok(u16::from_be_bytes([a, b]))
}
