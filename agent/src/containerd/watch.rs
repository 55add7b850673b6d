//! The watcher: one connection after the other, for as long as somebody listens.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::change::Change;
use super::client::ClientError;
use super::session::{self, SessionError};
use super::state::{ContainerdState, Phase};
use crate::policy::Chain;

/// Changes that may wait for the receiver. When it is slower, containerd keeps the events.
const QUEUE: usize = 256;
/// The pause before the next connection: doubled from the first to the last, begun anew when one was
/// followed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(3);

/// What to follow.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// containerd's socket.
    pub socket: PathBuf,
    /// The namespace of containerd's (not of Kubernetes), `k8s.io` for pods.
    pub namespace: String,
    /// How long the stream may be silent before it is probed.
    pub silence: Duration,
    /// How long the echo of a probe may take.
    pub echo: Duration,
}

impl WatchSettings {
    /// The settings for a socket and namespace, with the times for machines in production.
    #[must_use]
    pub fn new(socket: PathBuf, namespace: String) -> Self {
        let (silence, echo) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { socket, namespace, silence, echo }
    }
}

/// Both ends of what the watcher tells. Dropping it ends the watcher.
#[derive(Debug)]
pub struct Watcher {
    /// What changes, in order, beginning with [`Change::Relisted`]. Nothing is left out, however slowly it
    /// is read.
    pub changes: mpsc::Receiver<Change>,
    /// How well containerd is followed.
    pub state: watch::Receiver<ContainerdState>,
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to follow containerd, whether it runs yet or not. Must be called within a tokio runtime.
#[must_use]
pub fn watch(settings: WatchSettings) -> Watcher {
    let (sender, changes) = mpsc::channel(QUEUE);
    let (state_sender, state) = watch::channel(ContainerdState::new());
    let task = tokio::spawn(async move { run(&settings, &sender, &state_sender).await });
    Watcher { changes, state, task }
}

async fn run(
    settings: &WatchSettings,
    changes: &mpsc::Sender<Change>,
    state: &watch::Sender<ContainerdState>,
) {
    let mut pause = FIRST_PAUSE;
    let mut complained = false;
    loop {
        let Err(error) = session::follow(settings, changes, state).await;
        if matches!(error, SessionError::Unwanted) {
            return;
        }
        if state.borrow().phase == Phase::Following {
            (pause, complained) = (FIRST_PAUSE, false);
        }
        // A node waits for its runtime for minutes; one line says it.
        let reason = Chain(&error).to_string();
        match (complained, &error) {
            (true, _) => tracing::debug!(reason, "containerd is still not followed"),
            (false, SessionError::Client(ClientError::Absent { path })) => {
                tracing::warn!(socket = %path.display(), "waiting for containerd");
            }
            (false, _) => tracing::warn!(reason, "containerd is not followed; trying again"),
        }
        complained = true;
        state.send_modify(|state| state.lose(reason));
        tokio::select! {
            () = changes.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = pause.saturating_mul(2).min(LAST_PAUSE);
    }
}
