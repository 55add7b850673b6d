//! Whose pod it is, by what the platform that made it has written on it.
//!
//! Invariant: nothing that a job prints, sets or could have had expanded is taken for more than a claim, and
//! [`Traits`] hold no claim.

pub mod github;
pub mod gitlab;
pub mod subject;
pub mod told;
mod traits;

pub use traits::{GithubTraits, GitlabTraits, Traits};
