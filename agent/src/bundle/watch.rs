//! Notices that a policy folder has changed.
//!
//! The kernel tells of each change in the folder (inotify(7)), the replaced link of a `ConfigMap` among them. What it cannot
//! tell of (another folder in this one's place, a change behind a link, a network file system) is found by looking again
//! from time to time, which costs little while nothing has changed.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long the folder must have been quiet: whoever writes several files is let finish.
const QUIET: Duration = Duration::from_millis(100);
/// How long a folder that is never quiet is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at though nothing was told.
const LOOK: Duration = Duration::from_secs(30);

/// Follows one folder.
#[derive(Debug)]
pub struct FolderWatch {
    folder: PathBuf,
    queue: AsyncFd<Queue>,
}

/// The kernel's queue of events.
#[derive(Debug)]
struct Queue(Inotify);

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl FolderWatch {
    /// Begins to follow a folder, which need not be there yet.
    ///
    /// # Errors
    ///
    /// When the kernel gives no queue for events (`fs.inotify.max_user_instances`), or outside a runtime.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let queue = Queue(Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?);
        // SAFETY: the descriptor belongs to `queue`, which gives the same one for as long as it lives.
        let queue = unsafe { AsyncFd::register(queue) }?;
        let watch = Self { folder: folder.to_owned(), queue };
        watch.aim();
        Ok(watch)
    }

    /// Follows the folder in the background, for as long as the runtime lasts; whoever waits is told of each change, and of
    /// those that came before once.
    #[must_use]
    pub fn follow(mut self) -> Arc<Notify> {
        let told = Arc::new(Notify::new());
        let tells = Arc::clone(&told);
        tokio::spawn(async move {
            loop {
                self.changed().await;
                tells.notify_one();
            }
        });
        told
    }

    /// Waits until the folder may have changed.
    async fn changed(&mut self) {
        let told = timeout_at(Instant::now() + LOOK, self.told()).await.is_ok();
        if told {
            let patience = Instant::now() + PATIENCE;
            while timeout_at(patience.min(Instant::now() + QUIET), self.told()).await.is_ok() {}
        }
        // Another folder may be in its place; watching one that is watched changes nothing.
        self.aim();
    }

    async fn told(&self) {
        loop {
            let Ok(mut ready) = self.queue.readable().await else {
                // The runtime ends.
                return std::future::pending().await;
            };
            match self.queue.get_ref().0.read_events() {
                Ok(_events) => return,
                Err(Errno::EAGAIN) => ready.clear_ready(),
                // A torn queue is as good as an event.
                Err(_) => {
                    ready.clear_ready();
                    return;
                }
            }
        }
    }

    fn aim(&self) {
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        if let Err(errno) = self.queue.get_ref().0.add_watch(&self.folder, changes) {
            tracing::debug!(folder = %self.folder.display(), %errno, "not followed");
        }
    }
}

#[cfg(test)]
mod tests;
