//! Profiles: what one job may reach, read from YAML and compiled for lookups.
//!
//! A file goes through three types: YAML nodes with their places ([`crate::yaml`]), the fields as typed
//! (`raw`, filled by `decode`), and the compiled [`Profile`] (`resolve`). Each step reports what is
//! wrong with file, line and column, and a profile exists only if nothing was wrong.
//!
//! Invariant: a `Profile` never changes. Who wants another mode or another file gets another value.

mod cidr;
mod credwatch;
mod decision;
mod decode;
mod document;
mod duration;
mod error;
mod explain;
mod families;
mod glob;
mod hard_block;
mod host;
pub mod limits;
mod names;
mod networks;
mod pattern;
mod port;
mod problem;
mod profile;
mod raw;
mod resolve;
mod selector;
mod settings;
mod suggest;
mod target;
#[cfg(test)]
mod tests;

pub use cidr::CidrError;
pub use credwatch::{CredentialWatch, PathError, WatchedPath};
pub use decision::{Grant, Grants, NameDecision, RuleIndex, WildcardIndex};
pub use document::{Document, Source};
pub use duration::DurationError;
pub(crate) use error::Chain;
pub use error::PolicyError;
pub use explain::{Cause, Explanation, explain};
pub use families::{Families, family_name};
pub use hard_block::HardBlock;
pub use host::{HostName, MAX_LABEL_BYTES, MAX_NAME_BYTES, NameError};
pub use networks::{AddressDecision, KernelNetwork, NetworkRule};
pub use pattern::{DomainPattern, PatternError, Scope};
pub use port::{Port, PortError, Protocol};
pub use problem::{Diagnostic, Problem, Report};
pub(crate) use profile::digest;
pub use profile::{Counts, Profile, Provenance};
pub(crate) use resolve::is_profile_name;
pub use selector::{Fact, Level, Mismatch, Rank, Selector};
pub use settings::{DnsSettings, Inbound, Mode, Processes};
pub(crate) use suggest::printable;
pub use suggest::{
    Base, Heading, LeftOut, MergeError, Merged, Observation, ProjectPath, Seen,
    Selector as SuggestedSelector, Suggestion, Wildcards, Written,
};
pub use target::{Host, Target, TargetError};
