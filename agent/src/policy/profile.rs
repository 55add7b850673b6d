//! The compiled profile and the questions that it answers.

use std::net::IpAddr;
use std::path::Path;

use super::decision::{Grants, NameDecision, RuleIndex, WildcardIndex};
use super::error::{self, PolicyError};
use super::host::HostName;
use super::names::{Hit, NameTable};
use super::networks::{AddressDecision, KernelNetwork, NetworkRule, Networks};
use super::pattern::DomainPattern;
use super::port::Port;
use super::problem::{Problem, Problems, Report};
use super::settings::{DnsSettings, Inbound, Mode};
use super::{decode, limits, resolve};
use crate::yaml::{self, Span};

/// One named policy, compiled.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) digest: String,
    pub(super) dns: DnsSettings,
    pub(super) rules: Vec<Rule>,
    pub(super) names: NameTable,
    pub(super) denied: NameTable,
    pub(super) networks: Networks,
    pub(super) inbound: Vec<Inbound>,
}

/// How much is in a profile, each distinct pattern and prefix counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Allow rules.
    pub rules: usize,
    /// Exact names.
    pub names: usize,
    /// Wildcards.
    pub wildcards: usize,
    /// Prefixes.
    pub prefixes: usize,
    /// Names and wildcards of `deny`.
    pub denied: usize,
}

/// An allow rule without its names and prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) ports: Vec<Port>,
    pub(super) private: bool,
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
        let mut problems = Problems::default();
        let profile = match yaml::parse(text, "profile") {
            Ok(Some(root)) => {
                let raw = decode::profile(root, &mut problems);
                Some(resolve::profile(&raw, digest(text.as_bytes()), &mut problems))
            }
            Ok(None) => {
                problems.push(Span::START, Problem::Empty);
                None
            }
            Err(diagnostic) => {
                problems.push(diagnostic.span, diagnostic.problem);
                None
            }
        };
        match profile {
            Some(profile) if problems.len() == 0 => Ok(profile),
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

    /// How much is in the profile.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            rules: self.rules.len(),
            names: self.names.exact_len(),
            wildcards: self.names.wildcard_len(),
            prefixes: self.networks.merged_len(),
            denied: self.denied.exact_len() + self.denied.wildcard_len(),
        }
    }

    /// The pattern of `deny` that names a host.
    pub(super) fn denying_pattern(&self, name: &HostName) -> Option<String> {
        let hit = self.denied.find(name)?.first()?;
        let wildcard = hit.wildcard.and_then(|index| self.denied.wildcard(index));
        Some(wildcard.map_or_else(|| name.to_string(), ToString::to_string))
    }

    /// The narrowest prefix that covers an address.
    pub(super) fn network_of(&self, address: IpAddr) -> Option<&KernelNetwork> {
        self.networks.find(address)
    }

    /// The pattern behind a [`super::Grant::wildcard`].
    #[must_use]
    pub fn wildcard(&self, wildcard: WildcardIndex) -> Option<&DomainPattern> {
        self.names.wildcard(wildcard)
    }
}

/// `sha256:` and the hex digest of bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in sha2::Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
