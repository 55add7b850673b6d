//! The agent's side.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::listen::ControlSocket;
use super::protocol::{
    ANSWER_BYTES, Answer, Ask, PodStatus, QUESTION_BYTES, Question, Says, VERSION, Versioned,
};

/// How long a question and its answer may take.
const CONNECTION: Duration = Duration::from_secs(10);
/// Questions at one time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 8;
/// The pause after a connection that could not be taken, lest the loop spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Who knows the pods.
pub trait PodsSource: Send + Sync + 'static {
    /// All pods that the agent cares for, in any order.
    fn pods(&self) -> Vec<PodStatus>;
}

impl ControlSocket {
    /// Answers root's questions until it is dropped.
    pub async fn serve(self, source: Arc<dyn PodsSource>) -> Infallible {
        self.serve_those(source, |uid| uid == 0).await
    }

    /// Answers those whom `may_ask` lets, by user id.
    pub(super) async fn serve_those(
        self,
        source: Arc<dyn PodsSource>,
        may_ask: fn(u32) -> bool,
    ) -> Infallible {
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let source = Arc::clone(&source);
                    tokio::spawn(async move {
                        let served = tokio::time::timeout(
                            CONNECTION,
                            converse(stream, source.as_ref(), may_ask),
                        );
                        match served.await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => tracing::debug!(%error, "a question broke off"),
                            Err(_elapsed) => tracing::debug!("a question took too long"),
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a question could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn converse(
    mut stream: UnixStream,
    source: &dyn PodsSource,
    may_ask: fn(u32) -> bool,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    // Read whoever asks: a socket that is closed with something unread loses the answer too.
    let mut line = Vec::new();
    BufReader::new(&mut stream).take(QUESTION_BYTES).read_until(b'\n', &mut line).await?;
    let says = if may_ask(uid) {
        answer(&line, source)
    } else {
        tracing::warn!(uid, "somebody other than root asked at the control socket");
        Says::Error("only root may ask".to_owned())
    };
    stream.write_all(&encode(says)?).await?;
    stream.shutdown().await
}

fn answer(line: &[u8], source: &dyn PodsSource) -> Says {
    if line.last() != Some(&b'\n') {
        return Says::Error(format!("a question is one line of at most {QUESTION_BYTES} bytes"));
    }
    match serde_json::from_slice::<Versioned>(line) {
        Ok(Versioned { version: VERSION }) => {}
        Ok(Versioned { version }) => {
            return Says::Error(format!(
                "the agent speaks version {VERSION}, not {version}; use the `weir` of its release"
            ));
        }
        Err(error) => return Says::Error(format!("the question cannot be read: {error}")),
    }
    match serde_json::from_slice(line) {
        Ok(Question { ask: Ask::Pods, .. }) => Says::Pods(source.pods()),
        Err(error) => Says::Error(format!("the question cannot be read: {error}")),
    }
}

fn encode(says: Says) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Answer { version: VERSION, says })?;
    line.push(b'\n');
    if u64::try_from(line.len()).is_ok_and(|length| length <= ANSWER_BYTES) {
        return Ok(line);
    }
    encode(Says::Error("the answer is too long".to_owned()))
}
