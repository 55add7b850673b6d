//! The parts of a profile that are not rules.

use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;

use super::{credwatch::CredentialWatch, families::Families};

/// What happens to what the profile does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Refuse and report.
    Block,
    /// Let pass and report.
    Audit,
}

/// How answers of the resolver become allow entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// How much longer than its answer an allow entry lives.
    pub grace: Duration,
    /// The longest lifetime that an answer gets, whatever its TTL says.
    pub max_ttl: Duration,
    /// How many distinct names below one wildcard a job may ask for.
    pub names_per_wildcard: u32,
}

/// Who may open connections to the job; replies to them pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inbound {
    /// The node itself, for probes and the like.
    Node,
    /// Hosts in this prefix.
    Network(IpNet),
}

/// What the job's processes may do beside sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// Families of sockets that may be made.
    pub families: Families,
    /// They may leave the pod's cgroup.
    pub docker_in_docker: bool,
    /// Credential files.
    pub credwatch: CredentialWatch,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            max_ttl: Duration::from_secs(3600),
            names_per_wildcard: 200,
        }
    }
}

impl Mode {
    /// The word that profiles and records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Audit => "audit",
        }
    }
}
