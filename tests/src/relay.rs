//! A unix socket that leads to another, and whose connections can be cut while what it leads to runs on.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// The way. Dropped, it closes, and what goes over it with it.
#[derive(Debug)]
pub struct Relay {
    path: PathBuf,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Relay {
    /// Takes connections at `path` and leads each to `target`.
    pub fn open(path: &Path, target: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path)
            .with_context(|| format!("opening a relay at {}", path.display()))?;
        let relay = Self { path: path.to_path_buf(), open: Arc::default() };
        let (open, target) = (Arc::clone(&relay.open), target.to_path_buf());
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // The caller's end of a connection that cannot be led on closes with it.
                let _refused = lead(&near, &target, &open);
            }
        });
        Ok(relay)
    }

    /// Cuts whatever goes over it; new connections are led on.
    pub fn cut(&self) {
        for end in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            end.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
        self.cut();
    }
}

/// Copies both ways until either end closes.
fn lead(near: &UnixStream, target: &Path, open: &Mutex<Vec<UnixStream>>) -> io::Result<()> {
    let far = UnixStream::connect(target)?;
    let ends = [near.try_clone()?, far.try_clone()?];
    open.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
    for (from, to) in [(near, &far), (&far, near)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            io::copy(&mut from, &mut to).ok();
            for end in [from, to] {
                end.shutdown(Shutdown::Both).ok();
            }
        });
    }
    Ok(())
}
