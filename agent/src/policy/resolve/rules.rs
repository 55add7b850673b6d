//! Compiles allow rules and the deny list.

use std::collections::{BTreeSet, HashMap};

use ipnet::IpNet;

use super::is_id_byte;
use super::unique::Unique;
use crate::policy::cidr;
use crate::policy::names::NameTableBuilder;
use crate::policy::networks::{NetworkRule, Networks, TooManyPorts};
use crate::policy::pattern::{DomainPattern, Scope};
use crate::policy::port::Port;
use crate::policy::problem::{Problem, Problems};
use crate::policy::profile::{Rule, Rules};
use crate::policy::raw::RawRule;
use crate::policy::{RuleIndex, limits};
use crate::yaml::{Span, Text, shown};

/// Rule ids that events use for refusals that no allow rule caused.
const RESERVED_IDS: [&str; 2] = [RuleIndex::DENY_ID, RuleIndex::DEFAULT_DENY_ID];

/// Compiles the rules and reports what is wrong with each and with all of them.
pub(super) fn compile(allow: &[RawRule<'_>], deny: &[Text<'_>], problems: &mut Problems) -> Rules {
    let mut compiler = RuleCompiler::new(problems);
    for rule in allow {
        compiler.add(rule);
    }
    compiler.deny(deny);
    compiler.finish()
}

#[derive(Debug)]
struct RuleCompiler<'p> {
    problems: &'p mut Problems,
    seen_ids: Unique<String>,
    ids: Vec<String>,
    rules: Vec<Rule>,
    names: NameTableBuilder,
    denied: NameTableBuilder,
    networks: Vec<NetworkRule>,
    /// Where each pattern and prefix stood first, for errors about their sum.
    pattern_spans: HashMap<DomainPattern, Span>,
    net_spans: HashMap<IpNet, Span>,
    domains: usize,
    wildcards: usize,
}

impl<'p> RuleCompiler<'p> {
    fn new(problems: &'p mut Problems) -> Self {
        Self {
            problems,
            seen_ids: Unique::default(),
            ids: Vec::new(),
            rules: Vec::new(),
            names: NameTableBuilder::default(),
            denied: NameTableBuilder::default(),
            networks: Vec::new(),
            pattern_spans: HashMap::new(),
            net_spans: HashMap::new(),
            domains: 0,
            wildcards: 0,
        }
    }

    /// Compiles one rule.
    fn add(&mut self, raw: &RawRule<'_>) {
        if self.too_many("allow rules", self.rules.len() + 1, limits::RULES, raw.span) {
            return;
        }
        let Ok(index) = u16::try_from(self.rules.len()).map(RuleIndex) else { return };
        let id = raw.id.as_ref().map(|id| self.id(id)).unwrap_or_default();
        if !raw.has_target {
            self.problems.push(raw.span, Problem::RuleWithoutTarget(raw.place.clone()));
        }
        if let Some((true, span)) = raw.private
            && !raw.has_domains
        {
            self.problems.push(span, Problem::PrivateWithoutDomains(raw.place.clone()));
        }
        let ports = self.ports(raw);
        let mut seen = Unique::default();
        for text in &raw.domains {
            let what = || format!("`domains` of {}", raw.place);
            if let Some(pattern) = self.pattern(text, &mut seen, what) {
                self.names.add(&pattern, index);
            }
        }
        self.cidrs(raw, index, &ports);
        let private = raw.private.is_some_and(|(private, _)| private);
        self.ids.push(id);
        self.rules.push(Rule { ports, private });
    }

    /// Compiles the deny list.
    fn deny(&mut self, domains: &[Text<'_>]) {
        let mut seen = Unique::default();
        for text in domains {
            if let Some(pattern) = self.pattern(text, &mut seen, || "`deny.domains`".to_owned()) {
                self.denied.add(&pattern, RuleIndex::DENY);
            }
        }
    }

    /// Builds the tables.
    fn finish(mut self) -> Rules {
        let mut compiled = Rules::default();
        for (builder, table) in [
            (std::mem::take(&mut self.names), &mut compiled.names),
            (std::mem::take(&mut self.denied), &mut compiled.denied),
        ] {
            match builder.build() {
                Ok(built) => *table = built,
                Err(error) => {
                    let span = self.pattern_spans.get(&error.pattern).copied();
                    let (pattern, found) = (error.pattern.to_string(), error.count);
                    let problem = Problem::MergedRules { pattern, found };
                    self.problems.push(span.unwrap_or(Span::START), problem);
                }
            }
        }
        match Networks::new(std::mem::take(&mut self.networks)) {
            Ok(networks) => compiled.networks = networks,
            Err(error) => self.merged_ports(&error),
        }
        compiled.allow = self.rules;
        compiled.ids = self.ids;
        compiled
    }

    fn merged_ports(&mut self, error: &TooManyPorts) {
        let span = self.net_spans.get(&error.net).copied().unwrap_or(Span::START);
        let ids: BTreeSet<String> = error
            .ports
            .iter()
            .filter_map(|(_, rule)| self.ids.get(usize::from(rule.0)))
            .map(|id| format!("`{}`", shown(id)))
            .collect();
        let rules = ids.into_iter().collect::<Vec<_>>().join(", ");
        let (net, found) = (error.net, error.ports.len());
        self.problems.push(span, Problem::MergedPorts { net, rules, found });
    }

    fn id(&mut self, Text { text, span }: &Text<'_>) -> String {
        let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let valid = text.len() <= limits::RULE_ID_BYTES
            && text.as_bytes().first().is_some_and(edge)
            && text.bytes().all(is_id_byte);
        if !valid {
            self.problems.push(*span, Problem::RuleId(shown(text)));
        } else if RESERVED_IDS.contains(&text.as_ref()) {
            self.problems.push(*span, Problem::ReservedRuleId(shown(text)));
        } else if let Some(first_line) = self.seen_ids.first_line(text.to_string(), *span) {
            self.problems.push(*span, Problem::DuplicateRule { id: shown(text), first_line });
        }
        text.to_string()
    }

    fn ports(&mut self, raw: &RawRule<'_>) -> Vec<Port> {
        let Some(entries) = &raw.ports else { return vec![Port::HTTPS] };
        if raw.no_ports {
            self.problems.push(raw.span, Problem::NoPorts(raw.place.clone()));
        }
        let what = || format!("`ports` of {}", raw.place);
        if let Some(extra) = entries.get(limits::PORTS) {
            let (what, found) = (what(), entries.len());
            self.problems.push(extra.span, Problem::TooMany { what, found, most: limits::PORTS });
        }
        let mut seen = Unique::default();
        let mut ports = Vec::new();
        for Text { text, span } in entries {
            match text.parse::<Port>() {
                Ok(port) if seen.check(port, *span, &port.to_string(), what, self.problems) => {
                    ports.push(port);
                }
                Ok(_) => {}
                Err(error) => {
                    self.problems.push(*span, Problem::Port { text: shown(text), error });
                }
            }
        }
        ports
    }

    fn pattern(
        &mut self,
        Text { text, span }: &Text<'_>,
        seen: &mut Unique<DomainPattern>,
        what: impl FnOnce() -> String,
    ) -> Option<DomainPattern> {
        self.domains += 1;
        if self.too_many("domains", self.domains, limits::DOMAINS, *span) {
            return None;
        }
        let pattern = match DomainPattern::parse(text) {
            Ok(pattern) => pattern,
            Err(error) => {
                self.problems.push(*span, Problem::Domain { text: shown(text), error });
                return None;
            }
        };
        if !seen.check(pattern.clone(), *span, &pattern.to_string(), what, self.problems) {
            return None;
        }
        let new = self.pattern_spans.insert(pattern.clone(), *span).is_none();
        if new && pattern.scope != Scope::Exact {
            self.wildcards += 1;
            if self.too_many("wildcards", self.wildcards, limits::WILDCARDS, *span) {
                return None;
            }
        }
        Some(pattern)
    }

    fn cidrs(&mut self, raw: &RawRule<'_>, rule: RuleIndex, ports: &[Port]) {
        let mut seen = Unique::default();
        for Text { text, span } in &raw.cidrs {
            if self.too_many("cidrs", self.networks.len() + 1, limits::CIDRS, *span) {
                return;
            }
            let net = match cidr::parse(text) {
                Ok(net) => net,
                Err(error) => {
                    self.problems.push(*span, Problem::Cidr { text: shown(text), error });
                    continue;
                }
            };
            let what = || format!("`cidrs` of {}", raw.place);
            if seen.check(net, *span, &net.to_string(), what, self.problems) {
                self.net_spans.entry(net).or_insert(*span);
                self.networks.push(NetworkRule { net, ports: ports.to_vec(), rule });
            }
        }
    }

    /// Reports, once, that a count went over its limit.
    fn too_many(&mut self, what: &str, found: usize, most: usize, span: Span) -> bool {
        if found == most + 1 {
            let what = what.to_owned();
            self.problems.push(span, Problem::TooMany { what, found, most });
        }
        found > most
    }
}
