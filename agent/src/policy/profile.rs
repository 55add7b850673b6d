//! The compiled profile and the questions that it answers.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::decision::{Grants, NameDecision, RuleIndex, WildcardIndex};
use super::document::Source;
use super::error::PolicyError;
use super::host::HostName;
use super::names::{Hit, NameTable};
use super::networks::{AddressDecision, KernelNetwork, NetworkRule, Networks};
use super::pattern::DomainPattern;
use super::port::Port;
use super::settings::{DnsSettings, Inbound, Mode, Processes};

/// One named policy, compiled.
#[derive(Clone, Debug)]
pub struct Profile {
    provenance: Arc<Provenance>,
    pub(super) mode: Mode,
    digest: String,
    pub(super) dns: DnsSettings,
    pub(super) inbound: Vec<Inbound>,
    pub(super) processes: Processes,
    rules: Arc<Rules>,
}

/// Where a decision comes from: what records say of a profile, and all that is kept of one that is in force no more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provenance {
    name: String,
    rules: Vec<String>,
    bundle: Arc<str>,
}

impl Provenance {
    /// `metadata.name` of the profile.
    #[must_use]
    pub fn profile(&self) -> &str {
        &self.name
    }

    /// The digest of the bundle that the profile is a part of; its own when it is in none.
    #[must_use]
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// The id of a rule; `deny` and `default-deny` for the two indices that are no allow rule.
    #[must_use]
    pub fn rule_id(&self, rule: RuleIndex) -> &str {
        match self.rules.get(usize::from(rule.0)) {
            Some(id) => id,
            None if rule == RuleIndex::DENY => RuleIndex::DENY_ID,
            None => RuleIndex::DEFAULT_DENY_ID,
        }
    }
}

/// The compiled rules: what is large, and the same in every form of a profile.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// In the order of the allow rules.
    pub(super) ids: Vec<String>,
    pub(super) allow: Vec<Rule>,
    pub(super) names: NameTable,
    pub(super) denied: NameTable,
    pub(super) networks: Networks,
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
    pub(super) ports: Vec<Port>,
    pub(super) private: bool,
}

impl Profile {
    /// Reads and compiles a profile file.
    ///
    /// # Errors
    /// [`PolicyError`] if the file cannot be read or is no valid profile.
    pub fn from_file(path: &Path) -> Result<Self, PolicyError> {
        Self::alone(&Source::from_file(path)?)
    }

    /// Compiles a profile from the text of one YAML document; `source_name` stands in messages.
    ///
    /// # Errors
    /// [`PolicyError`] if the text is no valid profile, or one that includes others; everything found wrong is in it.
    pub fn from_yaml(source_name: &str, text: &str) -> Result<Self, PolicyError> {
        Self::alone(&Source::from_text(source_name, text.to_owned())?)
    }

    fn alone(source: &Source) -> Result<Self, PolicyError> {
        let document = source.read()?;
        if !document.include().is_empty() {
            return Err(PolicyError::Includes { name: source.name().to_owned() });
        }
        Ok(Self::clone(document.profile()))
    }

    pub(super) fn new(
        name: String,
        mode: Mode,
        digest: String,
        dns: DnsSettings,
        inbound: Vec<Inbound>,
        mut rules: Rules,
    ) -> Self {
        let ids = std::mem::take(&mut rules.ids);
        let provenance = Arc::new(Provenance { name, rules: ids, bundle: digest.as_str().into() });
        let processes = Processes::default();
        Self { provenance, mode, digest, dns, inbound, processes, rules: Arc::new(rules) }
    }

    /// The same profile with other words on what processes may do.
    pub(super) fn with_processes(self, processes: Processes) -> Self {
        Self { processes, ..self }
    }

    /// The profile `deny-all`: block mode, nothing allowed. Its digest is that of an empty file.
    #[must_use]
    pub fn deny_all() -> Self {
        let (dns, inbound) = (DnsSettings::default(), vec![Inbound::Node]);
        let name = "deny-all".to_owned();
        Self::new(name, Mode::Block, digest(b""), dns, inbound, Rules::default())
    }

    /// The same profile in another mode.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The same profile as a part of a bundle.
    #[must_use]
    pub fn in_bundle(&self, digest: &Arc<str>) -> Self {
        let provenance =
            Provenance { bundle: Arc::clone(digest), ..Provenance::clone(&self.provenance) };
        Self { provenance: Arc::new(provenance), ..self.clone() }
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.provenance.name
    }

    /// What records say of it.
    #[must_use]
    pub const fn provenance(&self) -> &Arc<Provenance> {
        &self.provenance
    }

    /// What happens to what the profile does not allow.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// `sha256:` and the hex digest of the file's bytes, or of its digest and those of all that it includes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether another profile says the same of every destination.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.digest, self.name(), self.mode) == (&other.digest, other.name(), other.mode)
    }

    /// How answers of the resolver become allow entries.
    #[must_use]
    pub fn dns(&self) -> &DnsSettings {
        &self.dns
    }

    /// What the profile says about a host name; `deny` wins over every allow rule.
    #[must_use]
    pub fn decide_name(&self, name: &HostName) -> NameDecision<'_> {
        if let Some(hit) = self.rules.denied.find(name).and_then(<[Hit]>::first) {
            return NameDecision::Denied { rule: hit.rule };
        }
        match self.rules.names.find(name) {
            Some(hits) => NameDecision::Allowed(Grants { hits, rules: &self.rules.allow }),
            None => NameDecision::NotListed,
        }
    }

    /// What `cidrs` say about an address and port. Names that lead to the address are not asked.
    #[must_use]
    pub fn decide_address(&self, address: IpAddr, port: Port) -> AddressDecision {
        self.rules.networks.decide(address, port)
    }

    /// Every `cidrs` entry, in the order of the file.
    #[must_use]
    pub fn networks(&self) -> &[NetworkRule] {
        self.rules.networks.rules()
    }

    /// Every distinct prefix with all that is allowed there, so that one longest-prefix match gives
    /// what all rules together allow. Sorted; see [`KernelNetwork::ports`] for the empty list.
    #[must_use]
    pub fn networks_for_kernel(&self) -> Vec<KernelNetwork> {
        self.rules.networks.for_kernel()
    }

    /// Who may open connections to the job.
    #[must_use]
    pub fn inbound(&self) -> &[Inbound] {
        &self.inbound
    }

    /// What the job's processes may do beside sending.
    #[must_use]
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// The id of a rule; `deny` and `default-deny` for the two indices that are no allow rule.
    #[must_use]
    pub fn rule_id(&self, rule: RuleIndex) -> &str {
        self.provenance.rule_id(rule)
    }

    /// Whether nothing was compiled anew for the one or the other.
    #[cfg(test)]
    pub(crate) fn shares_rules_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rules, &other.rules)
    }

    /// The ids of its allow rules, in the order of the file.
    #[must_use]
    pub fn rule_ids(&self) -> &[String] {
        &self.provenance.rules
    }

    /// How much is in the profile.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            rules: self.rules.allow.len(),
            names: self.rules.names.exact_len(),
            wildcards: self.rules.names.wildcard_len(),
            prefixes: self.rules.networks.merged_len(),
            denied: self.rules.denied.exact_len() + self.rules.denied.wildcard_len(),
        }
    }

    /// The pattern of `deny` that names a host.
    pub(super) fn denying_pattern(&self, name: &HostName) -> Option<String> {
        let hit = self.rules.denied.find(name)?.first()?;
        let wildcard = hit.wildcard.and_then(|index| self.rules.denied.wildcard(index));
        Some(wildcard.map_or_else(|| name.to_string(), ToString::to_string))
    }

    /// The narrowest prefix that covers an address.
    pub(super) fn network_of(&self, address: IpAddr) -> Option<&KernelNetwork> {
        self.rules.networks.find(address)
    }

    /// The pattern behind a [`super::Grant::wildcard`].
    #[must_use]
    pub fn wildcard(&self, wildcard: WildcardIndex) -> Option<&DomainPattern> {
        self.rules.names.wildcard(wildcard)
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
