//! `weir run`: one command and all that it starts, under a policy of its own.
//!
//! The order of things: clear what dead runs left, load the programs, attach them to a new cgroup (which
//! is closed then), open the listener, put the profile into force, and only then start the command.

mod bpffs;
mod command;
mod error;
pub mod launch;
mod leftovers;
mod preflight;
mod session;
mod signals;
mod suggest;
pub mod summary;

pub use command::LAUNCH;
pub use error::RunError;
pub use session::{RunOutcome, RunSettings, run};

/// One line to the person at the terminal.
pub(crate) fn complain(text: &str) {
    eprintln!("weir: {text}");
}
