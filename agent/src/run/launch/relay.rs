//! Passes signals on to one child and reaps, until that child has ended.

use std::{io, process::ExitCode};

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// The signals that are held back here, to be read one by one.
#[derive(Debug)]
pub(super) struct Signals {
    descriptor: SignalFd,
}

/// Signals that are not for passing on: the kernel sends them to a process about itself, or to the whole
/// job of a shell, which is to stop as one.
const OWN: [Signal; 8] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGTRAP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGTSTP,
];

/// The signals that can be passed on.
pub(in crate::run) fn passed_on() -> SigSet {
    let mut set = SigSet::all();
    for signal in OWN {
        set.remove(signal);
    }
    set
}

/// Holds every signal back that can be passed on.
pub(super) fn block() -> nix::Result<Signals> {
    let set = passed_on();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
    Ok(Signals { descriptor: SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)? })
}

impl Signals {
    /// What a child does before it becomes the command: hear signals again.
    ///
    /// All of them: what was blocked on arrival was blocked by `weir run` for its own reading.
    pub(super) fn unblock_in_child() -> io::Result<()> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(io::Error::from)
    }
}

/// Waits for the child to end, passing on what arrives meanwhile, and returns its code.
pub(super) fn until_exit(child: Pid, signals: &Signals) -> nix::Result<ExitCode> {
    loop {
        if let Some(code) = reap(child)? {
            return Ok(code);
        }
        let Some(info) = signals.descriptor.read_signal()? else { continue };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        let Ok(signal) = Signal::try_from(number) else { continue };
        // What a terminal sends (Ctrl-C) reaches the command by itself: it is in the same process group.
        let from_terminal = info.ssi_code == libc::SI_KERNEL;
        if signal != Signal::SIGCHLD && !from_terminal {
            match kill(child, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reaps all that have ended; the code of the one that is waited for, once it has.
fn reap(child: Pid) -> nix::Result<Option<ExitCode>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                return Ok(Some(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1))));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(Some(ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(1))));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
