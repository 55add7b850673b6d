//! Profiles: what one job may reach, read from YAML and compiled for lookups.
//!
//! A file goes through three types: YAML nodes with their places (`yaml`), the fields as typed
//! (`raw`, filled by `decode`), and the compiled [`Profile`] (`resolve`). Each step reports what is
//! wrong with file, line and column, and a profile exists only if nothing was wrong.
//!
//! Invariant: a `Profile` never changes. Who wants another mode or another file gets another value.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

mod decode;
mod diagnostic;
mod duration;
mod error;
mod host;
pub mod limits;
mod names;
mod nearest;
mod networks;
mod pattern;
mod port;
mod problem;
mod raw;
mod resolve;
mod yaml;

pub use diagnostic::{Diagnostic, Report, Span};
pub use duration::DurationError;
pub use error::PolicyError;
pub use host::{HostName, MAX_LABEL_BYTES, MAX_NAME_BYTES, NameError};
pub use networks::{AddressDecision, CidrError, KernelNetwork, NetworkRule};
pub use pattern::{DomainPattern, PatternError, Scope};
pub use port::{Port, PortError, Protocol};
pub use problem::Problem;

use names::{Hit, NameTable};
use networks::Networks;

/// One named policy, compiled.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    mode: Mode,
    digest: String,
    dns: DnsSettings,
    rules: Vec<Rule>,
    names: NameTable,
    denied: NameTable,
    networks: Networks,
    inbound: Vec<Inbound>,
}

/// What happens to what the profile does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// An allow rule without its names and prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    id: String,
    ports: Vec<Port>,
    private: bool,
}

/// A rule of one profile, in the order of the file; [`Profile::rule_id`] gives its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u16);

/// A wildcard pattern of one profile; [`Profile::wildcard`] gives its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WildcardIndex(pub u16);

/// What a profile says about a host name.
#[derive(Clone, Copy, Debug)]
pub enum NameDecision<'a> {
    /// At least one rule allows it, and `deny` does not name it.
    Allowed(Grants<'a>),
    /// `deny` names it, whatever the allow rules say.
    Denied {
        /// [`RuleIndex::DENY`].
        rule: RuleIndex,
    },
    /// No rule names it.
    NotListed,
}

/// What the rules grant on the addresses of a name: at least one [`Grant`], one for each rule.
#[derive(Clone, Copy, Debug)]
pub struct Grants<'a> {
    hits: &'a [Hit],
    rules: &'a [Rule],
}

/// What one rule grants on the addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// The rule.
    pub rule: RuleIndex,
    /// The ports it opens.
    pub ports: &'a [Port],
    /// Whether answers may be private addresses.
    pub private: bool,
    /// The wildcard that covers the name, if the rule does not name the host itself.
    pub wildcard: Option<WildcardIndex>,
}

impl RuleIndex {
    /// The profile's `deny` list.
    pub const DENY: Self = Self(u16::MAX - 1);
    /// No rule at all: what is not allowed is refused.
    pub const DEFAULT_DENY: Self = Self(u16::MAX);
    /// How records call [`Self::DENY`].
    pub const DENY_ID: &str = "deny";
    /// How records call [`Self::DEFAULT_DENY`].
    pub const DEFAULT_DENY_ID: &str = "default-deny";
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

impl<'a> Grants<'a> {
    /// One grant for each rule that covers the name.
    pub fn iter(self) -> impl Iterator<Item = Grant<'a>> {
        self.hits.iter().filter_map(move |hit| {
            let rule = self.rules.get(usize::from(hit.rule.0))?;
            Some(Grant {
                rule: hit.rule,
                ports: &rule.ports,
                private: rule.private,
                wildcard: hit.wildcard,
            })
        })
    }
}

impl Profile {
    /// Reads and compiles a profile file.
    ///
    /// # Errors
    /// [`PolicyError`] if the file cannot be read or is no valid profile.
    pub fn from_file(path: &Path) -> Result<Self, PolicyError> {
        let (name, text) = error::read_file(path)?;
        Self::from_yaml(&name, &text)
    }

    /// Compiles a profile from the text of one YAML document; `source_name` stands in messages.
    ///
    /// # Errors
    /// [`PolicyError`] if the text is no valid profile; everything found wrong is in it.
    pub fn from_yaml(source_name: &str, text: &str) -> Result<Self, PolicyError> {
        if text.len() > limits::FILE_BYTES {
            return Err(PolicyError::TooLarge { name: source_name.to_owned() });
        }
        let mut problems = diagnostic::Problems::default();
        let profile = match yaml::parse(text) {
            Ok(root) => {
                let raw = decode::profile(root, &mut problems);
                Some(resolve::profile(&raw, digest(text.as_bytes()), &mut problems))
            }
            Err(diagnostic) => {
                problems.push_diagnostic(diagnostic);
                None
            }
        };
        match profile {
            Some(profile) if problems.is_empty() => Ok(profile),
            _ => Err(PolicyError::Invalid(Report::new(source_name, text, problems))),
        }
    }

    /// The profile `deny-all`: block mode, nothing allowed. Its digest is that of an empty file.
    #[must_use]
    pub fn deny_all() -> Self {
        Self {
            name: "deny-all".to_owned(),
            mode: Mode::Block,
            digest: digest(b""),
            dns: DnsSettings::default(),
            rules: Vec::new(),
            names: NameTable::default(),
            denied: NameTable::default(),
            networks: Networks::default(),
            inbound: vec![Inbound::Node],
        }
    }

    /// The same profile in another mode.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What happens to what the profile does not allow.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// `sha256:` and the hex digest of the file's bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How answers of the resolver become allow entries.
    #[must_use]
    pub fn dns(&self) -> &DnsSettings {
        &self.dns
    }

    /// What the profile says about a host name; `deny` wins over every allow rule.
    #[must_use]
    pub fn decide_name(&self, name: &HostName) -> NameDecision<'_> {
        if let Some(hit) = self.denied.find(name).and_then(<[Hit]>::first) {
            return NameDecision::Denied { rule: hit.rule };
        }
        match self.names.find(name) {
            Some(hits) => NameDecision::Allowed(Grants { hits, rules: &self.rules }),
            None => NameDecision::NotListed,
        }
    }

    /// What `cidrs` say about an address and port. Names that lead to the address are not asked.
    #[must_use]
    pub fn decide_address(&self, address: IpAddr, port: Port) -> AddressDecision {
        self.networks.decide(address, port)
    }

    /// Every `cidrs` entry, in the order of the file.
    #[must_use]
    pub fn networks(&self) -> &[NetworkRule] {
        self.networks.rules()
    }

    /// Every distinct prefix with all that is allowed there, so that one longest-prefix match gives
    /// what all rules together allow. Sorted; see [`KernelNetwork::ports`] for the empty list.
    #[must_use]
    pub fn networks_for_kernel(&self) -> Vec<KernelNetwork> {
        self.networks.for_kernel()
    }

    /// Who may open connections to the job.
    #[must_use]
    pub fn inbound(&self) -> &[Inbound] {
        &self.inbound
    }

    /// The id of a rule; `deny` and `default-deny` for the two indices that are no allow rule.
    #[must_use]
    pub fn rule_id(&self, rule: RuleIndex) -> &str {
        match self.rules.get(usize::from(rule.0)) {
            Some(rule) => &rule.id,
            None if rule == RuleIndex::DENY => RuleIndex::DENY_ID,
            None => RuleIndex::DEFAULT_DENY_ID,
        }
    }

    /// The pattern behind a [`Grant::wildcard`].
    #[must_use]
    pub fn wildcard(&self, wildcard: WildcardIndex) -> Option<&DomainPattern> {
        self.names.wildcard(wildcard)
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in sha2::Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
