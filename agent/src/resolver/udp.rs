//! Serves one UDP socket from a thread of its own.
//!
//! A cached answer costs a few hundred nanoseconds here and several microseconds in the kernel, so
//! what counts is system calls and wake-ups: the thread blocks in `recvmmsg`, answers all that is
//! there, and sends it with one `sendmmsg`. Questions for upstream go to the runtime.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrLike as _, SockaddrStorage, recvmmsg, sendmmsg, sendto,
};
use tokio::runtime::Handle;

use super::pod::{Pod, Transport};
use super::session::{Pending, Session, Step};

/// Datagrams received and sent by one system call.
const BATCH: usize = 16;
/// A question with all its options fits; of anything larger the cut-off rest makes a format error.
const RECEIVE_BYTES: usize = 2048;
/// Pause after an error of the socket that is not about one datagram.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Answers what arrives on `socket` until the session is closed and the socket shut down.
pub(super) fn serve<P: Pod>(session: &Arc<Session<P>>, socket: &Arc<UdpSocket>, runtime: &Handle) {
    let mut buffers = vec![0; BATCH * RECEIVE_BYTES];
    let mut received = MultiHeaders::preallocate(BATCH, None);
    let mut outbox = Outbox::new();
    loop {
        let mut slices: Vec<_> = buffers
            .chunks_exact_mut(RECEIVE_BYTES)
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let batch = recvmmsg(
            socket.as_raw_fd(),
            &mut received,
            slices.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        );
        if !session.is_open() {
            return;
        }
        match batch {
            Ok(batch) => {
                for message in batch {
                    let Some(from) = message.address else { continue };
                    let bytes = message.iovs().next().unwrap_or_default();
                    if let Some(pending) = answer(session, bytes, from, &mut outbox) {
                        let (session, socket) = (Arc::clone(session), Arc::clone(socket));
                        runtime.spawn(answer_later(session, socket, pending, from));
                    }
                }
                outbox.send(socket);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => {
                tracing::warn!(%errno, "receiving DNS questions failed");
                thread::sleep(ERROR_PAUSE);
            }
        }
    }
}

/// Answers one datagram into the outbox, or returns the question that needs upstream.
///
/// A panic costs this datagram its answer and nothing else.
fn answer<P: Pod>(
    session: &Session<P>,
    message: &[u8],
    from: SockaddrStorage,
    outbox: &mut Outbox,
) -> Option<Box<Pending<P::Client>>> {
    let peer = socket_address(&from)?;
    let out = outbox.next()?;
    let receive = || session.receive(message, peer, Transport::Udp, out);
    match catch_unwind(AssertUnwindSafe(receive)) {
        Ok(Step::Answer) => outbox.push(from),
        Ok(Step::Silence) => {}
        Ok(Step::Upstream(pending)) => return Some(pending),
        Err(_panic) => tracing::error!("answering a DNS question panicked"),
    }
    None
}

async fn answer_later<P: Pod>(
    session: Arc<Session<P>>,
    socket: Arc<UdpSocket>,
    pending: Box<Pending<P::Client>>,
    to: SockaddrStorage,
) {
    let mut out = Vec::new();
    if session.resume(&pending, &mut out).await {
        let sent = sendto(socket.as_raw_fd(), &out, &to, MsgFlags::MSG_DONTWAIT);
        if let Err(errno) = sent {
            tracing::debug!(%errno, "sending a DNS answer failed");
        }
    }
}

/// Answers that wait to be sent together.
struct Outbox {
    headers: MultiHeaders<SockaddrStorage>,
    messages: Vec<Vec<u8>>,
    to: Vec<Option<SockaddrStorage>>,
}

impl Outbox {
    fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            messages: vec![Vec::new(); BATCH],
            to: Vec::with_capacity(BATCH),
        }
    }

    /// The buffer to write the next answer to.
    fn next(&mut self) -> Option<&mut Vec<u8>> {
        self.messages.get_mut(self.to.len())
    }

    /// Keeps what was written to the buffer, for `to`.
    fn push(&mut self, to: SockaddrStorage) {
        self.to.push(Some(to));
    }

    /// Sends all. What the socket does not take at once is dropped, as the network might have done:
    /// a stub asks again.
    fn send(&mut self, socket: &UdpSocket) {
        let mut done = 0;
        while done < self.to.len() {
            let to = self.to.get(done..).unwrap_or_default();
            let messages = self.messages.get(done..self.to.len()).unwrap_or_default();
            let slices: Vec<_> = messages.iter().map(|message| [IoSlice::new(message)]).collect();
            let sent = sendmmsg(
                socket.as_raw_fd(),
                &mut self.headers,
                &slices,
                to,
                [],
                MsgFlags::MSG_DONTWAIT,
            );
            done += match sent {
                Ok(sent) => sent.count().max(1),
                Err(Errno::EINTR) => 0,
                // About the first of them; the others may have better luck.
                Err(errno) => {
                    tracing::debug!(%errno, "sending a DNS answer failed");
                    1
                }
            };
        }
        self.to.clear();
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    debug_assert!(address.family().is_some());
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}
