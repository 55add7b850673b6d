//! What the agent needs to be ready, and whether it has it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// The conditions of one agent. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

/// The right to say how one condition stands.
///
/// A condition whose setter is gone stays as it was left, except that one dropped by a panic no longer
/// holds.
#[derive(Debug)]
pub struct Condition {
    name: &'static str,
    all: Readiness,
}

impl Readiness {
    /// Adds a condition, which does not hold yet. Two of one name are one.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        self.set(name, Some("not yet".to_owned()));
        Condition { name, all: self.clone() }
    }

    /// `Ok` when there are conditions and all hold; else those that do not, one a line, sorted, each with
    /// its reason.
    ///
    /// # Errors
    ///
    /// The text for whoever asked.
    pub fn check(&self) -> Result<(), String> {
        let conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if conditions.is_empty() {
            return Err("starting\n".to_owned());
        }
        let mut text = String::new();
        for (name, reason) in conditions.iter() {
            if let Some(reason) = reason {
                // Writing to a String cannot fail.
                let _infallible = writeln!(text, "{name}: {}", reason.escape_debug());
            }
        }
        if text.is_empty() { Ok(()) } else { Err(text) }
    }

    fn set(&self, name: &'static str, reason: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, reason);
    }
}

impl Condition {
    /// The condition holds.
    pub fn holds(&self) {
        self.all.set(self.name, None);
    }

    /// The condition does not hold, and why.
    pub fn fails(&self, reason: impl Into<String>) {
        self.all.set(self.name, Some(reason.into()));
    }
}

impl Drop for Condition {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fails("its task has panicked");
        }
    }
}
