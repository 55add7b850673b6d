//! What can be wrong inside a configuration.

use crate::yaml::{self, Fault};

/// Everything found wrong in one configuration.
pub type Report = yaml::Report<Problem>;
pub(super) type Problems = yaml::Problems<Problem>;

/// One kind of mistake. Text from the file is kept printable and short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The YAML itself: its grammar, keys and shapes.
    #[error(transparent)]
    Yaml(#[from] Fault),
    /// Text that is not what its key wants.
    #[error("{what}: `{found}` is not {expected}")]
    Value {
        /// The key.
        what: String,
        /// As typed.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A number that cannot be read or is out of bounds.
    #[error("{what}: expected a whole number from {min} to {max}, found `{found}`")]
    Number {
        /// The key.
        what: &'static str,
        /// As typed.
        found: String,
        /// The least that may stand there.
        min: u32,
        /// The most that may stand there.
        max: u32,
    },
    /// An entry of a list or map that was there before.
    #[error("{what}: `{entry}` is there twice")]
    Twice {
        /// The list or map.
        what: &'static str,
        /// The entry.
        entry: String,
    },
}
