//! Stand-in for the policy module, replaced when the branches meet.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing
)]
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Block,
    Audit,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    pub protocol: Protocol,
    pub number: u16,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleIndex(pub u16);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WildcardIndex(pub u16);
#[derive(Clone, Debug)]
pub struct DnsSettings {
    pub grace: Duration,
    pub max_ttl: Duration,
    pub names_per_wildcard: u32,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(String);
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);
impl HostName {
    pub fn from_wire_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut out = String::new();
        for label in labels {
            if label.is_empty() || label.len() > 63 {
                return None;
            }
            if !out.is_empty() {
                out.push('.');
            }
            for b in label {
                if b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_' {
                    out.push(b.to_ascii_lowercase() as char);
                } else {
                    return None;
                }
            }
        }
        if out.is_empty() || out.len() > 253 { None } else { Some(Self(out)) }
    }
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::from_wire_labels(text.trim_end_matches('.').split('.').map(str::as_bytes))
            .ok_or_else(|| PolicyError("bad name".into()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
#[derive(Clone, Debug)]
struct Rule {
    id: String,
    domains: Vec<(String, Option<u16>)>,
    ports: Vec<Port>,
    private: bool,
}
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    mode: Mode,
    dns: DnsSettings,
    rules: Vec<Rule>,
    deny: Vec<String>,
}
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    pub rule: RuleIndex,
    pub ports: &'a [Port],
    pub private: bool,
    pub wildcard: Option<WildcardIndex>,
}
#[derive(Clone, Debug)]
pub struct Grants<'a>(Vec<Grant<'a>>);
impl<'a> Grants<'a> {
    pub fn iter(&self) -> impl Iterator<Item = Grant<'a>> + '_ {
        self.0.iter().copied()
    }
}
#[derive(Clone, Debug)]
pub enum NameDecision<'a> {
    Allowed(Grants<'a>),
    Denied { rule: RuleIndex },
    NotListed,
}

fn matches(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**.") {
        return name.strip_suffix(rest).is_some_and(|p| p.len() > 1 && p.ends_with('.'));
    }
    if let Some(rest) = pattern.strip_prefix("*.") {
        return name
            .strip_suffix(rest)
            .and_then(|p| p.strip_suffix('.'))
            .is_some_and(|p| !p.is_empty() && !p.contains('.'));
    }
    pattern == name
}
fn list(text: &str) -> Vec<String> {
    text.trim()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .split(',')
        .map(|s| s.trim().trim_matches('"').to_owned())
        .filter(|s| !s.is_empty())
        .collect()
}
fn duration(text: &str) -> Duration {
    let t = text.trim();
    let n = |s: &str| s.parse::<u64>().unwrap();
    if let Some(s) = t.strip_suffix('h') {
        Duration::from_secs(3600 * n(s))
    } else if let Some(s) = t.strip_suffix('m') {
        Duration::from_secs(60 * n(s))
    } else {
        Duration::from_secs(n(t.trim_end_matches('s')))
    }
}
impl Profile {
    pub fn deny_all() -> Self {
        Self {
            name: "deny-all".into(),
            mode: Mode::Block,
            dns: DnsSettings {
                grace: Duration::from_secs(30),
                max_ttl: Duration::from_secs(3600),
                names_per_wildcard: 200,
            },
            rules: vec![],
            deny: vec![],
        }
    }
    pub fn from_yaml(_source: &str, text: &str) -> Result<Self, PolicyError> {
        let mut p = Self::deny_all();
        let mut wild = 0;
        for line in text.lines() {
            let l = line.trim();
            if let Some(v) = l.strip_prefix("metadata: { name:") {
                p.name = v.trim().trim_end_matches('}').trim().to_owned();
            } else if let Some(v) = l.strip_prefix("mode:") {
                p.mode = if v.trim() == "audit" { Mode::Audit } else { Mode::Block };
            } else if let Some(v) = l.strip_prefix("- id:") {
                p.rules.push(Rule {
                    id: v.trim().into(),
                    domains: vec![],
                    ports: vec![Port { protocol: Protocol::Tcp, number: 443 }],
                    private: false,
                });
            } else if let Some(v) = l.strip_prefix("domains:") {
                p.rules.last_mut().unwrap().domains = list(v)
                    .into_iter()
                    .map(|d| {
                        let w = d.starts_with('*').then(|| {
                            wild += 1;
                            wild
                        });
                        (d, w)
                    })
                    .collect();
            } else if let Some(v) = l.strip_prefix("private:") {
                p.rules.last_mut().unwrap().private = v.trim() == "true";
            } else if let Some(v) = l.strip_prefix("ports:") {
                p.rules.last_mut().unwrap().ports = list(v)
                    .into_iter()
                    .map(|d| Port { protocol: Protocol::Tcp, number: d.parse().unwrap() })
                    .collect();
            } else if let Some(v) = l.strip_prefix("deny: { domains:") {
                p.deny = list(v.trim().trim_end_matches('}'));
            } else if let Some(v) = l.strip_prefix("dns: {") {
                for kv in v.trim_end_matches('}').split(',') {
                    let (k, v) = kv.split_once(':').unwrap();
                    match k.trim() {
                        "grace" => p.dns.grace = duration(v),
                        "maxTtl" => p.dns.max_ttl = duration(v),
                        "namesPerWildcard" => p.dns.names_per_wildcard = v.trim().parse().unwrap(),
                        _ => return Err(PolicyError("key".into())),
                    }
                }
            }
        }
        Ok(p)
    }
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn mode(&self) -> Mode {
        self.mode
    }
    pub fn dns(&self) -> &DnsSettings {
        &self.dns
    }
    pub fn decide_name(&self, name: &HostName) -> NameDecision<'_> {
        if self.deny.iter().any(|d| matches(d, name.as_str())) {
            return NameDecision::Denied { rule: RuleIndex(999) };
        }
        let mut grants = vec![];
        for (i, r) in self.rules.iter().enumerate() {
            if let Some((_, w)) = r.domains.iter().find(|(d, _)| matches(d, name.as_str())) {
                grants.push(Grant {
                    rule: RuleIndex(i as u16),
                    ports: &r.ports,
                    private: r.private,
                    wildcard: w.map(WildcardIndex),
                });
            }
        }
        if grants.is_empty() {
            NameDecision::NotListed
        } else {
            NameDecision::Allowed(Grants(grants))
        }
    }
    pub fn rule_id(&self, rule: RuleIndex) -> &str {
        self.rules.get(usize::from(rule.0)).map_or("deny", |r| &r.id)
    }
}
