//! Whose pod it is, by what the platform that made it has written on it.
//!
//! Invariant: nothing that a job prints, sets or could have had expanded is taken for more than a claim.

pub mod gitlab;
