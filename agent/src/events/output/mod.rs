//! Where records go, each place with a thread of its own.

use std::{io, sync::Arc};

mod file;
mod lines;
mod otlp;

pub(super) use file::{RotatingFile, Rotation};
pub(super) use lines::Lines;
pub(super) use otlp::{Otlp, StartError};

/// One record as text, with a newline at its end.
pub(super) type Line = Arc<[u8]>;

/// A place that takes records. Called on a thread of its own, which may wait.
pub(super) trait Output: Send {
    /// How many records are worth taking together.
    fn batch(&self) -> usize {
        1
    }

    /// Takes records. Gives up, with some of them, when `is_ending` says that the agent waits for it.
    ///
    /// # Errors
    ///
    /// How many were not taken, and why.
    fn take(&mut self, records: &[Line], is_ending: &dyn Fn() -> bool) -> Result<(), Refused>;
}

/// Records that a place did not take.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) records: u64,
    pub(super) error: io::Error,
}
