//! Everything that can be wrong inside a profile file.

use super::cidr::CidrError;
use super::credwatch::PathError;
use super::duration::DurationError;
use super::limits;
use super::pattern::PatternError;
use super::port::PortError;
use crate::yaml::{self, Fault};

/// One mistake in a profile and its place.
pub type Diagnostic = yaml::Diagnostic<Problem>;
/// Everything found wrong in one profile file.
pub type Report = yaml::Report<Problem>;
pub(super) type Problems = yaml::Problems<Problem>;

/// One kind of mistake, with what a message needs to name it. Text from the file is kept printable
/// and short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The YAML itself.
    #[error(transparent)]
    Yaml(#[from] Fault),
    /// No document, or an empty one.
    #[error("the file is empty; a profile begins with `apiVersion: weir.dev/v1`")]
    Empty,
    /// Text that is no profile name.
    #[error(
        "`{0}` is not a profile name: use 1 to {max} of a-z, 0-9, `.`, `_`, `-` in parts separated by `/`, each part beginning and ending with a letter or digit",
        max = limits::PROFILE_NAME_BYTES
    )]
    ProfileName(String),
    /// Conditions that no pod meets.
    #[error("this selects nobody: {0}")]
    SelectsNobody(&'static str),
    /// A condition's value that cannot be read.
    #[error("{what}: `{text}` cannot be matched: {expected}")]
    Pattern {
        /// The field.
        what: String,
        /// As typed.
        text: String,
        /// What would do.
        expected: String,
    },
    /// A label that GitLab Runner writes, often from what the job says of itself.
    #[error(
        "`{0}` is GitLab Runner's own label; select by `gitlab.projectId`, `gitlab.project` or `gitlab.group`"
    )]
    RunnersLabel(String),
    /// Text of `include` that is no profile name, or the profile's own.
    #[error("`include`: `{0}` is not the name of another profile")]
    Include(String),
    /// Text that is no rule id.
    #[error(
        "`{0}` is not a rule id: use 1 to {max} of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or digit",
        max = limits::RULE_ID_BYTES
    )]
    RuleId(String),
    /// An id that events use for weir's own rules.
    #[error("the rule id `{0}` is reserved; events use it for refusals that no allow rule caused")]
    ReservedRuleId(String),
    /// The same id twice.
    #[error("duplicate rule id `{id}`; it was first used in line {first_line}")]
    DuplicateRule {
        /// The id.
        id: String,
        /// Where it was used first.
        first_line: usize,
    },
    /// A rule without names and prefixes.
    #[error("{0} names neither `domains` nor `cidrs`, so it allows nothing; remove it or fill it")]
    RuleWithoutTarget(String),
    /// `ports: []`.
    #[error("{0} lists no port, so it allows nothing; leave `ports` out for 443/tcp")]
    NoPorts(String),
    /// `private` on a rule that has only `cidrs`.
    #[error("`private` speaks about answers for `domains`, and {0} has none")]
    PrivateWithoutDomains(String),
    /// An entry of a list that was there before.
    #[error("duplicate entry `{text}` in {what}; it was first given in line {first_line}")]
    DuplicateEntry {
        /// The entry in canonical form.
        text: String,
        /// The list.
        what: String,
        /// Where it was given first.
        first_line: usize,
    },
    /// A `domains` entry that is no name and no pattern.
    #[error("`{text}` is not a host name: {error}")]
    Domain {
        /// As typed.
        text: String,
        /// Why.
        error: PatternError,
    },
    /// A `ports` entry that is no port.
    #[error("`{text}` is not a port: {error}")]
    Port {
        /// As typed.
        text: String,
        /// Why.
        error: PortError,
    },
    /// A `cidrs` or `inbound` entry that is no prefix.
    #[error("`{text}` is not a network prefix: {error}")]
    Cidr {
        /// As typed.
        text: String,
        /// Why.
        error: CidrError,
    },
    /// `credwatch` without paths.
    #[error("`credwatch` names no path, so it watches nothing; remove it or fill `paths`")]
    NoPaths,
    /// A `credwatch.paths` entry that cannot be compared.
    #[error("`{text}` is not a path that can be watched: {error}")]
    Path {
        /// As typed.
        text: String,
        /// Why.
        error: PathError,
    },
    /// A duration that cannot be read or is out of bounds.
    #[error("{what}: `{text}` is not a duration that can be used here: {error}")]
    Duration {
        /// The field.
        what: &'static str,
        /// As typed.
        text: String,
        /// Why.
        error: DurationError,
    },
    /// A count that cannot be read or is out of bounds.
    #[error("{what}: expected a whole number from {min} to {max}, found `{text}`")]
    Count {
        /// The field.
        what: &'static str,
        /// As typed.
        text: String,
        /// The least that may stand there.
        min: u32,
        /// The most that may stand there.
        max: u32,
    },
    /// More of something than a profile may hold.
    #[error("{what}: {found} are too many, the most is {most}")]
    TooMany {
        /// What is counted.
        what: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The rules that cover one prefix grant more ports together than the kernel's value holds.
    #[error(
        "the rules that cover {net} ({rules}) allow {found} distinct ports there together, the most is {most}",
        most = limits::PORTS
    )]
    MergedPorts {
        /// The prefix.
        net: ipnet::IpNet,
        /// The ids of the rules.
        rules: String,
        /// How many ports they sum up to.
        found: usize,
    },
    /// More rules cover one name than a lookup returns.
    #[error(
        "{found} rules cover the name pattern `{pattern}`, the most is {most}",
        most = limits::RULES_PER_NAME
    )]
    MergedRules {
        /// The pattern.
        pattern: String,
        /// How many rules cover it.
        found: usize,
    },
}
