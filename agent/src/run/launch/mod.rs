//! The process between `weir run` and the command: takes away what could undo the enforcement, then
//! becomes the first process of the command's own pid namespace and starts it.
//!
//! Three processes in a row, because each can do what the next no longer may:
//! - `weir run` attaches the hooks and serves names;
//! - the launcher (this program again) joins the cgroup and enters new cgroup, mount and pid
//!   namespaces, then waits;
//! - init, its child, is process 1 of the pid namespace: it hides what must be hidden, drops the
//!   capabilities, starts the command, passes signals on and reaps.
//!
//! Invariants:
//! - The command never runs outside the cgroup: joining it comes first, and any failure ends here.
//! - When `weir run` dies, however it dies, the kernel kills the launcher, then init, and with init
//!   every process of the namespace.

mod capabilities;
mod descriptors;
mod mounts;
pub(super) mod relay;

pub use mounts::NAME_SERVICE_SOCKETS;

use std::{
    ffi::OsString,
    fs, io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::PathBuf,
    process::{Command, ExitCode},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::{prctl, signal::Signal},
    unistd::{ForkResult, Pid, fork, getppid},
};

/// What the launcher is told on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchSpec {
    /// The cgroup to join.
    pub cgroup: PathBuf,
    /// Leave the capabilities alone.
    pub keep_capabilities: bool,
    /// Folders of the host that the command must not see.
    pub hidden: Vec<PathBuf>,
    /// The command and its arguments; never empty.
    pub command: Vec<OsString>,
}

/// Exit codes of shells for a command that could not be started (POSIX.1-2024, XCU 2.8.2).
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// The launcher's own failures, before the command was started.
pub const LAUNCH_FAILED: u8 = 2;

/// Why the command was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The cgroup could not be joined.
    #[error("joining the cgroup {}", path.display())]
    Cgroup {
        /// The cgroup.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("{action}")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file system could not be hidden or made read-only.
    #[error("{action} {}", path.display())]
    Mount {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No command was given.
    #[error("no command to start")]
    NoCommand,
}

impl LaunchError {
    fn system(action: &'static str) -> impl FnOnce(nix::Error) -> Self {
        move |source| Self::System { action, source: source.into() }
    }
}

/// Runs the launcher. Returns in the launcher and in init with the code to exit with.
///
/// Must be called while the process has one thread.
///
/// # Errors
///
/// [`LaunchError`] when the command was not started.
pub fn launch(spec: &LaunchSpec) -> Result<ExitCode, LaunchError> {
    prctl::set_name(c"weir").map_err(LaunchError::system("naming the launcher"))?;
    die_with_parent(None)?;
    fs::write(spec.cgroup.join("cgroup.procs"), "0")
        .map_err(|source| LaunchError::Cgroup { path: spec.cgroup.clone(), source })?;
    let namespaces =
        CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    unshare(namespaces).map_err(LaunchError::system("entering new namespaces"))?;
    let signals = relay::block().map_err(LaunchError::system("blocking signals"))?;
    // SAFETY: this process has one thread, so the child may do anything.
    let forked = unsafe { fork() }.map_err(LaunchError::system("starting init"))?;
    match forked {
        ForkResult::Parent { child } => {
            relay::until_exit(child, &signals).map_err(LaunchError::system("waiting for init"))
        }
        ForkResult::Child => init(spec, &signals),
    }
}

fn init(spec: &LaunchSpec, signals: &relay::Signals) -> Result<ExitCode, LaunchError> {
    // Its parent is outside the namespace, where every pid is 0.
    die_with_parent(Some(Pid::from_raw(0)))?;
    mounts::prepare(&spec.hidden)?;
    descriptors::close_sockets();
    if !spec.keep_capabilities {
        capabilities::drop_all()?;
    }
    // Init has no more capabilities than the command, so the command could trace it, and stop the run by
    // stopping init. The command itself becomes dumpable again when it is executed.
    prctl::set_dumpable(false).map_err(LaunchError::system("refusing to be traced"))?;
    prctl::set_no_new_privs().map_err(LaunchError::system("setting no_new_privs"))?;

    let (program, arguments) = spec.command.split_first().ok_or(LaunchError::NoCommand)?;
    let mut command = Command::new(program);
    command.args(arguments);
    // SAFETY: setting the signal mask is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(relay::Signals::unblock_in_child) };
    match command.spawn() {
        Ok(child) => {
            let pid = i32::try_from(child.id()).map(Pid::from_raw);
            let pid = pid.map_err(|_error| LaunchError::NoCommand)?;
            relay::until_exit(pid, signals).map_err(LaunchError::system("waiting for the command"))
        }
        Err(source) => {
            let code =
                if source.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
            super::complain(&format!("starting {}: {source}", program.display()));
            Ok(ExitCode::from(code))
        }
    }
}

/// Asks the kernel to kill this process when its parent dies, and checks that it has not died yet.
fn die_with_parent(expected: Option<Pid>) -> Result<(), LaunchError> {
    let before = expected.unwrap_or_else(getppid);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(LaunchError::system("following the parent"))?;
    if getppid() == before {
        Ok(())
    } else {
        Err(LaunchError::System {
            action: "following the parent",
            source: io::Error::from_raw_os_error(libc::ESRCH),
        })
    }
}

/// The exit code that stands for how a process ended: its own, or 128 and the signal's number.
#[must_use]
pub fn exit_code(status: std::process::ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}
