//! Serves one TCP listener: length-prefixed messages, pipelined, answered as they become ready
//! (RFC 7766). A connection that begins with a request of HTTP is one for the pod's page.

use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, join};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::pod::{Pod, Transport};
use super::session::{Session, Step};
use crate::page;

/// Longest message that is read; no question comes near it.
pub(crate) const LONGEST_MESSAGE: u16 = 4096;
/// Pause after an error of the listener, such as too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` becomes true. `connections` is what the pod's listeners share.
pub(super) async fn serve<P: Pod>(
    session: Arc<Session<P>>,
    listener: TcpListener,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accepting a DNS connection failed");
                sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        // Strangers hold no connection open, and one connection too many is closed at once: the
        // client sees an end, not a stall.
        let Ok(slot) = Arc::clone(&connections).try_acquire_owned() else { continue };
        if !session.knows(peer) {
            continue;
        }
        let (session, mut stop) = (Arc::clone(&session), stop.clone());
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = connection(&session, stream, peer, slot) => ended,
                _ = stop.wait_for(|stop| *stop) => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a DNS connection ended");
            }
        });
    }
}

/// Answers one connection until the client ends it, is idle too long or sends what is no question. It keeps its
/// place among the pod's connections for as long as it may be one for questions.
async fn connection<P: Pod>(
    session: &Arc<Session<P>>,
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
) -> io::Result<()> {
    let idle = session.resolver().settings().tcp_idle;
    stream.set_nodelay(true)?;
    let (mut reader, writer) = stream.into_split();
    let mut length = timeout(idle, read_length(&mut reader)).await??;
    if let Some(begin) = length.map(u16::to_be_bytes).filter(|begin| page::begins_request(*begin)) {
        drop(slot);
        session.serve_page(join(Cursor::new(begin).chain(reader), writer)).await;
        return Ok(());
    }
    let writer = Arc::new(Mutex::new(writer));
    let mut out = Vec::new();
    while let Some(of_message) = length {
        let message = timeout(idle, read_message(&mut reader, of_message)).await??;
        match session.receive(&message, peer, Transport::Tcp, &mut out) {
            Step::Answer => write_message(&writer, &out, idle).await?,
            Step::Silence => return Ok(()),
            Step::Upstream(pending) => {
                let (session, writer) = (Arc::clone(session), Arc::clone(&writer));
                tokio::spawn(async move {
                    let mut out = Vec::new();
                    if session.resume(&pending, &mut out).await
                        && let Err(error) = write_message(&writer, &out, idle).await
                    {
                        tracing::debug!(%error, "sending a DNS answer failed");
                    }
                });
            }
        }
        length = timeout(idle, read_length(&mut reader)).await??;
    }
    Ok(())
}

/// The length of the next message; `None` at the end of the stream.
async fn read_length(reader: &mut OwnedReadHalf) -> io::Result<Option<u16>> {
    match reader.read_u16().await {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The message behind its length.
async fn read_message(reader: &mut OwnedReadHalf, length: u16) -> io::Result<Vec<u8>> {
    if length > LONGEST_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a question longer than any is"));
    }
    let mut message = vec![0; length.into()];
    reader.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(
    writer: &Mutex<OwnedWriteHalf>,
    message: &[u8],
    patience: Duration,
) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&len.to_be_bytes()[..], message].concat();
    let write = async { writer.lock().await.write_all(&framed).await };
    timeout(patience, write).await?
}
