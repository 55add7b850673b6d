//! The side of whoever asks.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{ANSWER_BYTES, Answer, Ask, PodStatus, Question, Says, VERSION, Versioned};

/// How long the agent may take for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no agent serves {}; is `weir agent` running, and is this its `control`?", path.display())]
    NoAgent {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is closed to this user.
    #[error("{} is for root only; try `sudo weir pods`", path.display())]
    NotRoot {
        /// The socket.
        path: PathBuf,
    },
    /// The connection failed or broke off.
    #[error("asking the agent at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No answer, or one that cannot be read.
    #[error("the agent's answer cannot be read")]
    Answer(#[source] serde_json::Error),
    /// An answer of another version.
    #[error(
        "the agent answers in version {0}, this is version {VERSION}; use the `weir` of its release"
    )]
    Version(u32),
    /// The agent says no.
    #[error("the agent refused: {}", .0.escape_debug())]
    Refused(String),
}

/// Asks the agent for its pods, sorted by namespace and name.
///
/// # Errors
///
/// [`AskError`].
pub fn pods(socket: &Path) -> Result<Vec<PodStatus>, AskError> {
    let line = ask(socket).map_err(|source| {
        let path = socket.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                AskError::NoAgent { path }
            }
            io::ErrorKind::PermissionDenied => AskError::NotRoot { path },
            _ => AskError::Io { path, source },
        }
    })?;
    let Versioned { version } = serde_json::from_slice(&line).map_err(AskError::Answer)?;
    if version != VERSION {
        return Err(AskError::Version(version));
    }
    let answer: Answer = serde_json::from_slice(&line).map_err(AskError::Answer)?;
    match answer.says {
        Says::Pods(mut pods) => {
            pods.sort_by(|a, b| {
                let key = |pod: &PodStatus| {
                    (pod.namespace.clone(), pod.name.clone(), pod.sandbox.clone())
                };
                key(a).cmp(&key(b))
            });
            Ok(pods)
        }
        Says::Error(text) => Err(AskError::Refused(text)),
    }
}

fn ask(socket: &Path) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = serde_json::to_vec(&Question { version: VERSION, ask: Ask::Pods })?;
    question.push(b'\n');
    stream.write_all(&question)?;
    let mut line = Vec::new();
    BufReader::new(stream).take(ANSWER_BYTES).read_until(b'\n', &mut line)?;
    Ok(line)
}
