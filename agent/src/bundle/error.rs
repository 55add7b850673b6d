//! Why there is no bundle.

use std::io;
use std::path::PathBuf;

use super::folder::PROFILES;
use crate::config::DENY_ALL;
use crate::policy::{PolicyError, Problem};

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The folder cannot be read.
    #[error("reading the policy folder {}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More files than a bundle may hold.
    #[error("the policy folder {} holds more than {PROFILES} profiles", dir.display())]
    TooMany {
        /// The folder.
        dir: PathBuf,
    },
    /// A file is no profile.
    #[error(transparent)]
    Profile(#[from] PolicyError),
    /// Two files give the same name.
    #[error(
        "{} and {} both name their profile `{name}`; give one of them another `metadata.name`",
        first.display(), second.display()
    )]
    Duplicate {
        /// The name.
        name: String,
        /// The first file, in the order of their names.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A file gives the name of the built-in profile.
    #[error("{}: the name `{DENY_ALL}` is that of the built-in profile; give another `metadata.name`", file.display())]
    Reserved {
        /// The file.
        file: PathBuf,
    },
    /// The configuration names a profile that no file has.
    #[error("{key} names the profile `{name}`, which no file in {} has", dir.display())]
    Unknown {
        /// The configuration's key.
        key: String,
        /// The name.
        name: String,
        /// The folder.
        dir: PathBuf,
    },
    /// A profile includes one that is not there.
    #[error("the profile `{profile}` includes `{included}`, which no file has")]
    UnknownInclude {
        /// Who includes.
        profile: String,
        /// The name.
        included: String,
    },
    /// Profiles include each other.
    #[error("profiles include each other in a circle: {}; leave one of them out", path.join(" → "))]
    Circle {
        /// The names, the first one again at the end.
        path: Vec<String>,
    },
    /// Profiles that come together by `include` use one rule id for two rules.
    #[error(
        "the profile `{profile}` has two rules `{id}`: one of `{first}` and one of `{second}`; rename one, records tell them apart by it"
    )]
    SameRule {
        /// Who includes.
        profile: String,
        /// The rule's id.
        id: String,
        /// Whose rule comes first.
        first: String,
        /// The other's.
        second: String,
    },
    /// Profiles that are fine alone are not fine together.
    #[error("the profile `{profile}` together with what it includes: {problem}")]
    Joined {
        /// Who includes.
        profile: String,
        /// What is wrong.
        problem: Box<Problem>,
    },
    /// Two profiles are for the same pods.
    #[error(
        "the profiles `{first}` and `{second}` select the same ({selector}); narrow one of them, or join them by `include`"
    )]
    SameSelector {
        /// The first profile, in the order of their names.
        first: String,
        /// The other.
        second: String,
        /// What both select.
        selector: String,
    },
    /// A profile is for pods that the agent could never know.
    #[error(
        "the profile `{profile}` selects by `{condition}`, which GitLab Runner writes into annotations, and these are not trusted: it would select nobody; set `gitlab.trustAnnotations: true` in the agent's configuration if `pod_annotations_overwrite_allowed` is empty in every runner's config.toml, or select by `gitlab.projectId`"
    )]
    NeedsAnnotations {
        /// The profile.
        profile: String,
        /// The key.
        condition: &'static str,
    },
}
