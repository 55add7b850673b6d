//! Asking every name server at once: a dead one costs nothing but its silence.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::attempt::Setback;
use crate::claim::{Claim, Expected};
use crate::message::{Question, Reply};
use crate::random::Random;

const DNS_PORT: u16 = 53;
/// A datagram without EDNS holds at most 512 bytes (RFC 1035 §2.3.4).
const LONGEST_REPLY: usize = 512;
/// Enough for the few frames of [`ask`].
const STACK_BYTES: usize = 64 * 1024;

/// What is asked, and whom the answer must be for.
#[derive(Debug)]
pub(crate) struct Inquiry {
    /// The question.
    pub(crate) question: Question,
    /// Whom the answer must be for.
    pub(crate) expected: Expected,
}

/// The first claim that any of `servers` makes for this pod within `slot`; else what the most telling of
/// them said instead.
pub(crate) fn first_claim(
    servers: &[IpAddr],
    inquiry: &Arc<Inquiry>,
    random: &mut Random,
    slot: Duration,
) -> Result<(IpAddr, Claim), Setback> {
    let until = Instant::now() + slot;
    let mut id = || random.bytes().map(u16::from_be_bytes).map_err(Setback::Random);
    // Usually there is but one, and it needs no thread.
    if let [server] = *servers {
        return ask(server, inquiry, id()?, until).map(|claim| (server, claim));
    }
    let (sender, receiver) = mpsc::channel();
    let mut said: Option<Setback> = None;
    for &server in servers {
        let (id, inquiry, sender) = (id()?, Arc::clone(inquiry), sender.clone());
        let ask = move || {
            let claim = ask(server, &inquiry, id, until);
            // Nobody listens any more once another server has answered.
            sender.send(claim.map(|claim| (server, claim))).ok();
        };
        // Left to itself: it ends with its slot, or with the process.
        if let Err(error) = thread::Builder::new().stack_size(STACK_BYTES).spawn(ask) {
            said = Setback::louder(said, Setback::Network { server, error });
        }
    }
    drop(sender);
    for result in receiver {
        match result {
            Ok(claim) => return Ok(claim),
            Err(setback) => said = Setback::louder(said, setback),
        }
    }
    Err(said.unwrap_or(Setback::Silence))
}

/// Asks one server and waits for its answer until `until`.
fn ask(server: IpAddr, inquiry: &Inquiry, id: u16, until: Instant) -> Result<Claim, Setback> {
    let reply = exchange(server, &inquiry.question, id, until)
        .map_err(|error| Setback::Network { server, error })?;
    match reply {
        Some(Reply::Text(strings)) => Claim::read(&strings, &inquiry.expected)
            .map_err(|error| Setback::Claim { server, error }),
        Some(Reply::Code(code)) => Err(Setback::Code { server, code }),
        Some(Reply::Unusable(what)) => Err(Setback::Unusable { server, what }),
        None => Err(Setback::Silence),
    }
}

/// One question and its reply; none when the time is over.
///
/// The socket is new and connected each time: weir redirects at connect, so a socket from before the
/// attach would never reach it, and the kernel hands a connected socket its peer's answers alone.
fn exchange(
    server: IpAddr,
    question: &Question,
    id: u16,
    until: Instant,
) -> io::Result<Option<Reply>> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((server, DNS_PORT))?;
    socket.send(&question.query(id))?;
    let mut buffer = [0; LONGEST_REPLY];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let reply = question.reply(id, buffer.get(..length).unwrap_or_default());
        if reply.is_some() {
            return Ok(reply);
        }
    }
}
