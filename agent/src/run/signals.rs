//! The signals of `weir run` itself, read one by one instead of handled.

use std::io;

use nix::sys::{
    signal::{SigmaskHow, Signal, sigprocmask},
    signalfd::{SfdFlags, SignalFd},
};
use tokio::io::unix::AsyncFd;

use super::launch::relay::passed_on;

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Which.
    pub(super) signal: Signal,
    /// Whether a terminal sent it, and so sent it to the command as well.
    pub(super) from_terminal: bool,
}

/// Holds signals back in this thread and in every thread that it starts. Comes before all of them.
pub(super) fn hold() -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&passed_on()), None)
}

/// The signals that are held back.
#[derive(Debug)]
pub(super) struct Signals {
    descriptor: AsyncFd<SignalFd>,
}

impl Signals {
    /// Watches them; needs a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&passed_on(), flags)?;
        // SAFETY: the `AsyncFd` owns the descriptor and closes it only after deregistration.
        let descriptor = unsafe { AsyncFd::register(descriptor) }?;
        Ok(Self { descriptor })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> io::Result<Arrived> {
        loop {
            let mut guard = self.descriptor.readable().await?;
            match guard.get_inner().read_signal()? {
                Some(info) => {
                    let number = i32::try_from(info.ssi_signo).unwrap_or_default();
                    if let Ok(signal) = Signal::try_from(number) {
                        let from_terminal = info.ssi_code == libc::SI_KERNEL;
                        return Ok(Arrived { signal, from_terminal });
                    }
                }
                None => guard.clear_ready(),
            }
        }
    }
}
