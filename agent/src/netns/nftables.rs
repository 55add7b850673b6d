//! The table `inet weir` in a pod's namespace: every question to port 53 goes to the pod's listener, and so does
//! every request for the pod's page.
//!
//! All functions act in the calling thread's namespace ([`Netns::enter`](super::Netns::enter)).
//!
//! It serves what the socket hooks do not see, such as containers of a Docker in the pod, and enforces
//! nothing: a job with `CAP_NET_ADMIN` may flush it, and then gets no answers until the agent has put it back.
//!
//! Questions to loopback addresses are left alone. Docker's embedded resolver is there, and what it
//! forwards is captured in its turn. Nothing that enters from outside is captured, and nothing from
//! outside reaches the listener: the pod is no resolver for its neighbours.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    thread,
};

use self::plan::plan;
use super::netlink::{Malformed, Message, NetlinkError, Request, Socket, messages};

mod encode;
mod plan;
#[cfg(test)]
mod tests;

/// The capture could not be put in place, taken away or looked at: the kernel refused, or does not have what it
/// takes (`nf_tables`, `nft_nat`; Linux 5.2).
#[derive(Debug, thiserror::Error)]
#[error("{action} the table inet weir")]
pub struct NftablesError {
    action: &'static str,
    /// What the kernel said.
    source: NetlinkError,
}

impl NftablesError {
    const fn when(action: &'static str) -> impl FnOnce(NetlinkError) -> Self {
        move |source| Self { action, source }
    }
}

/// Where a pod's questions and requests for its page go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// The listener's IPv4 socket, at an address of the pod; with none, questions over IPv4 are left
    /// alone.
    pub v4: Option<SocketAddrV4>,
    /// The listener's IPv6 socket.
    pub v6: Option<SocketAddrV6>,
    /// Interface indexes by which packets from outside the pod come in, as
    /// [`HostSide::entrances`](super::uplink::HostSide::entrances) gives them.
    pub entrances: BTreeSet<u32>,
}

impl Capture {
    fn listeners(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        self.v4.map(SocketAddr::V4).into_iter().chain(self.v6.map(SocketAddr::V6))
    }
}

/// Puts the capture in place, or another in its place: at no instant is there none.
///
/// Flows that the kernel tracks already keep the listener that they had, for up to 30 seconds of
/// silence. A listener that takes another's place should take its port too.
///
/// # Errors
///
/// When the kernel refuses; then nothing has changed.
pub fn install(capture: &Capture) -> Result<(), NftablesError> {
    let replaced = execute(&encode::replace(&plan(capture)));
    replaced.map(drop).map_err(NftablesError::when("installing"))
}

/// Takes the capture away, if it is there.
///
/// # Errors
///
/// When the kernel refuses.
pub fn remove() -> Result<(), NftablesError> {
    execute(&encode::remove()).map(drop).map_err(NftablesError::when("removing"))
}

/// Whether exactly this capture is in place. A job that changes rules and keeps their comments deceives
/// this; see the module.
///
/// # Errors
///
/// When the kernel refuses.
pub fn is_installed(capture: &Capture) -> Result<bool, NftablesError> {
    let wanted: Vec<_> =
        plan(capture).iter().map(|rule| (rule.chain.name().to_owned(), rule.to_string())).collect();
    Ok(rules().map_err(NftablesError::when("reading"))? == wanted)
}

/// Chain and comment of each rule of the table.
fn rules() -> Result<Vec<(String, String)>, NetlinkError> {
    let mut socket = Socket::netfilter()?;
    let table = encode::TABLE.to_bytes_with_nul();
    let request = Request::new(GET_RULE, &[INET, 0, 0, 0]).attribute(NFTA_RULE_TABLE, table)?;
    match socket.dump(&request, read_rule) {
        // From Linux 6.2 on a table that is not there is an error; before, it has no rules.
        Err(error) if error.refusal() == Some(libc::ENOENT) => Ok(Vec::new()),
        other => other,
    }
}

/// `NFPROTO_INET`.
const INET: u8 = 1;
/// Subsystem in the upper byte, message in the lower (`linux/netfilter/nfnetlink.h`).
const GET_RULE: u16 = 10 << 8 | 7;
const NEW_RULE: u16 = 10 << 8 | 6;
/// Attributes of a rule (`linux/netfilter/nf_tables.h`).
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_USERDATA: u16 = 7;

/// The chain and the comment of a rule of the table.
fn read_rule(message: &Message<'_>) -> Result<Option<(String, String)>, Malformed> {
    if message.kind != NEW_RULE {
        return Ok(None);
    }
    // `struct nfgenmsg`: family, version, id.
    let (_header, attributes) = message.split(4)?;
    let (mut table, mut chain, mut comment) = (None, String::new(), String::new());
    for attribute in attributes {
        match attribute? {
            (NFTA_RULE_TABLE, value) => table = Some(value),
            (NFTA_RULE_CHAIN, value) => chain = text(value),
            // Type, length and text with its NUL, as nft writes a comment.
            (NFTA_RULE_USERDATA, [0, _length, value @ ..]) => comment = text(value),
            _ => {}
        }
    }
    let is_ours = table == Some(encode::TABLE.to_bytes_with_nul());
    Ok(is_ours.then_some((chain, comment)))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

/// Begin and end of a batch are acknowledged by some kernels only.
const BATCH_MARKS: std::ops::RangeInclusive<u16> = 0x10..=0x11;

/// Sends a batch, and waits until the kernel has acknowledged every message in it.
fn execute(batch: &[u8]) -> Result<Committed, NetlinkError> {
    let mut waiting = BTreeSet::new();
    for message in messages(batch) {
        let message = message?;
        if !BATCH_MARKS.contains(&message.kind) {
            waiting.insert(message.sequence);
        }
    }
    let socket = Socket::netfilter()?;
    socket.send(batch)?;
    let mut buffer = vec![0; 32 * 1024];
    while !waiting.is_empty() {
        socket.receive(&mut buffer, |message| -> Result<bool, NetlinkError> {
            message.refusal()?;
            if message.is_acknowledgement() {
                waiting.remove(&message.sequence);
            }
            Ok(true)
        })?;
    }
    Ok(Committed(Some(socket)))
}

/// The socket of a batch that took effect.
///
/// Closing it waits until the kernel has freed what the batch replaced, which takes an RCU grace period
/// (7 to 12 ms measured on Linux 6.18, the batch itself 0.3 to 0.7 ms). So that happens aside.
struct Committed(Option<Socket>);

impl Drop for Committed {
    fn drop(&mut self) {
        let socket = self.0.take();
        // Without a thread the closure is dropped here, and the socket with it.
        thread::Builder::new().name("weir-nft-close".to_owned()).spawn(move || drop(socket)).ok();
    }
}
