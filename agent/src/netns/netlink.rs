//! A netlink socket for requests to the kernel, and the bytes that go over it.
//!
//! Not a crate: libmnl's socket is inherited by what the agent starts and does not say who sent a
//! message, and a process in the pod with `CAP_NET_ADMIN` may send some; the route crates bring a
//! model of all of rtnetlink for the three requests that are made here.

use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv,
            sendmsg, setsockopt, socket, sockopt::ReceiveTimeout,
        },
        time::TimeVal,
    },
};

pub use self::message::Malformed;
pub(super) use self::message::{Attributes, Message, Request, messages};

mod message;
#[cfg(test)]
mod tests;

/// The kernel answers at once; this only keeps a fault from becoming a hang. In seconds.
const TIMEOUT_S: i64 = 5;
/// The most that the kernel puts into one datagram of a dump (`netlink_dump`).
const BUFFER_BYTES: usize = 32 * 1024;
/// How often a dump is asked for again when what it shows changed meanwhile.
const ATTEMPTS: usize = 16;

/// A request to the kernel that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("opening a netlink socket")]
    Open(#[source] io::Error),
    /// The request did not go out.
    #[error("sending a netlink request")]
    Send(#[source] io::Error),
    /// No answer came.
    #[error("receiving a netlink answer")]
    Receive(#[source] io::Error),
    /// The answer is cut off or contradicts itself.
    #[error("reading a netlink answer")]
    Malformed(#[from] Malformed),
    /// The kernel refused.
    #[error("the kernel refused a netlink request")]
    Refused(#[source] io::Error),
    /// What was being listed changed under every attempt.
    #[error("the network kept changing while it was read")]
    Unsteady,
}

impl NetlinkError {
    /// What the kernel answered, if it did.
    #[must_use]
    pub fn refusal(&self) -> Option<i32> {
        match self {
            Self::Refused(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

/// A socket in the namespace of the thread that opened it.
///
/// It is connected to the kernel, so the kernel turns away what anybody else sends to it.
#[derive(Debug)]
pub(super) struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// For links, addresses and namespaces: `rtnetlink(7)`.
    pub(super) fn route() -> Result<Self, NetlinkError> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// For nftables.
    pub(super) fn netfilter() -> Result<Self, NetlinkError> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> Result<Self, NetlinkError> {
        let open = || {
            let socket =
                socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            setsockopt(&socket, ReceiveTimeout, &TimeVal::new(TIMEOUT_S, 0))?;
            Ok(Self { socket, sequence: 0 })
        };
        open().map_err(|error: Errno| NetlinkError::Open(error.into()))
    }

    /// Sends `bytes`, one or more whole messages, at once.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        let parts = [IoSlice::new(bytes)];
        sendmsg::<NetlinkAddr>(self.socket.as_raw_fd(), &parts, &[], MsgFlags::empty(), None)
            .map_err(|error| NetlinkError::Send(error.into()))?;
        Ok(())
    }

    /// Receives one datagram into `buffer` and gives it to `each`, message by message, until that
    /// returns false or the datagram ends. Returns whether it ended.
    pub(super) fn receive<E: From<NetlinkError>>(
        &self,
        buffer: &mut [u8],
        mut each: impl FnMut(&Message<'_>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let failed = |error: Errno| NetlinkError::Receive(error.into());
        let descriptor = self.socket.as_raw_fd();
        let length = loop {
            match recv(descriptor, buffer, MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => {}
                other => break other.map_err(failed)?,
            }
        };
        // With MSG_TRUNC the length is what the kernel had, not what fitted.
        let bytes = buffer.get(..length).ok_or(Malformed).map_err(NetlinkError::from)?;
        for message in messages(bytes) {
            if !each(&message.map_err(NetlinkError::from)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks for one thing; gives what `read` makes of the answer.
    pub(super) fn get<T>(
        &mut self,
        request: Request,
        read: impl Fn(&Message<'_>) -> Result<T, Malformed>,
    ) -> Result<T, NetlinkError> {
        let sequence = self.next_sequence();
        self.send(&request.finish(sequence, libc::NLM_F_REQUEST)?)?;
        let mut buffer = vec![0_u8; BUFFER_BYTES];
        let mut answer = None;
        while answer.is_none() {
            self.receive(&mut buffer, |message| -> Result<bool, NetlinkError> {
                if message.sequence == sequence {
                    message.refusal()?;
                    answer = Some(read(message)?);
                }
                Ok(answer.is_none())
            })?;
        }
        answer.ok_or_else(|| Malformed.into())
    }

    /// Asks for a list; gives what `read` makes of each entry that it wants. If the list changed while
    /// it was read, it is read again.
    pub(super) fn dump<T>(
        &mut self,
        request: &Request,
        read: impl Fn(&Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut buffer = vec![0_u8; BUFFER_BYTES];
        for _ in 0..ATTEMPTS {
            let sequence = self.next_sequence();
            let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
            self.send(&request.clone().finish(sequence, flags)?)?;
            let mut list = Vec::new();
            let mut is_whole = true;
            let next = |message: &Message<'_>| -> Result<bool, NetlinkError> {
                if message.sequence != sequence {
                    return Ok(true);
                }
                message.refusal()?;
                is_whole &= message.flags & DUMP_INTERRUPTED == 0;
                if message.kind == DONE {
                    return Ok(false);
                }
                list.extend(read(message)?);
                Ok(true)
            };
            let mut next = next;
            while self.receive(&mut buffer, &mut next)? {}
            if is_whole {
                return Ok(list);
            }
        }
        Err(NetlinkError::Unsteady)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }
}

/// `NLM_F_DUMP_INTR`.
const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLMSG_DONE`.
const DONE: u16 = 3;
