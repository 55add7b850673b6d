//! From a profile as typed to the compiled [`Profile`]: what each text means, and whether the whole
//! makes sense. Everything that is wrong is reported, not only the first.

use std::time::Duration;

use super::cidr;
use super::problem::{Problem, Problems};
use super::profile::Profile;
use super::raw::{RawDns, RawProfile};
use super::selector::Selector;
use super::settings::{DnsSettings, Inbound, Mode};
use super::{duration, limits};
use crate::yaml::{Fault, Span, Text, nearest, shown};

mod processes;
mod rules;
mod select;
mod unique;

use unique::Unique;

/// As messages quote them.
const API_VERSION: &str = "`weir.dev/v1`";
const KIND: &str = "`EgressProfile`";

/// Compiles a profile; what it returns is only of use if nothing was reported.
pub(super) fn profile(raw: &RawProfile<'_>, digest: String, problems: &mut Problems) -> Profile {
    constant(raw.api_version.as_ref(), "`apiVersion`", API_VERSION, problems);
    constant(raw.kind.as_ref(), "`kind`", KIND, problems);
    let name = raw.name.as_ref().map(|text| profile_name(text, problems));
    let mode = raw.mode.as_ref().and_then(|text| read_mode(text, problems));
    let dns = dns(&raw.dns, problems);
    let inbound = raw.inbound.as_ref().map(|entries| inbound(entries, problems));
    let rules = rules::compile(&raw.allow, &raw.deny, problems);
    let inbound = inbound.unwrap_or_else(|| vec![Inbound::Node]);
    let mode = mode.unwrap_or(Mode::Block);
    let processes = processes::resolve(raw, problems);
    Profile::new(name.unwrap_or_default(), mode, digest, dns, inbound, rules)
        .with_processes(processes)
}

/// Compiles who gets the profile.
pub(super) fn selector(raw: &RawProfile<'_>, problems: &mut Problems) -> Option<Selector> {
    raw.select.as_ref().map(|raw| select::selector(raw, problems))
}

/// Reads the names of what the profile includes.
pub(super) fn include(raw: &RawProfile<'_>, problems: &mut Problems) -> Vec<String> {
    if let Some(extra) = raw.include.get(limits::INCLUDES) {
        let (found, most) = (raw.include.len(), limits::INCLUDES);
        problems.push(extra.span, Problem::TooMany { what: "`include`".to_owned(), found, most });
    }
    let own = raw.name.as_ref().map(|name| &name.text);
    let mut unique = Unique::default();
    let mut names = Vec::new();
    for Text { text, span } in &raw.include {
        if !is_profile_name(text) || Some(text) == own {
            problems.push(*span, Problem::Include(shown(text)));
        } else if unique.check(text.clone(), *span, text, || "`include`".to_owned(), problems) {
            names.push(text.to_string());
        }
    }
    names
}

fn constant(
    text: Option<&Text<'_>>,
    what: &'static str,
    expected: &'static str,
    problems: &mut Problems,
) {
    if let Some(Text { text, span }) = text
        && text != expected.trim_matches('`')
    {
        problems
            .push(*span, Fault::UnknownValue { what, found: shown(text), expected, nearest: None });
    }
}

fn unknown_value(
    what: &'static str,
    text: &str,
    expected: &'static str,
    words: &[&'static str],
) -> Fault {
    Fault::UnknownValue { what, found: shown(text), expected, nearest: nearest(text, words) }
}

fn read_mode(Text { text, span }: &Text<'_>, problems: &mut Problems) -> Option<Mode> {
    match text.as_ref() {
        "block" => Some(Mode::Block),
        "audit" => Some(Mode::Audit),
        _ => {
            let words = ["block", "audit"];
            problems.push(*span, unknown_value("`mode`", text, "`block` or `audit`", &words));
            None
        }
    }
}

fn profile_name(Text { text, span }: &Text<'_>, problems: &mut Problems) -> String {
    if !is_profile_name(text) {
        problems.push(*span, Problem::ProfileName(shown(text)));
    }
    text.to_string()
}

/// Whether text can be `metadata.name`.
pub(crate) fn is_profile_name(text: &str) -> bool {
    let edge =
        |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_part = |part: &str| {
        edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(is_id_byte)
    };
    text.len() <= limits::PROFILE_NAME_BYTES && text.split('/').all(is_part)
}

const fn is_id_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

fn dns(raw: &RawDns<'_>, problems: &mut Problems) -> DnsSettings {
    let default = DnsSettings::default();
    let mut bounded = |text: Option<&Text<'_>>, what, default, min, max| {
        let Some(Text { text, span }) = text else { return default };
        duration::parse(text, min, max).unwrap_or_else(|error| {
            problems.push(*span, Problem::Duration { what, text: shown(text), error });
            default
        })
    };
    let seconds = Duration::from_secs;
    let (grace, ttl) = (raw.grace.as_ref(), raw.max_ttl.as_ref());
    let grace = bounded(grace, "`dns.grace`", default.grace, Duration::ZERO, seconds(600));
    let max_ttl = bounded(ttl, "`dns.maxTtl`", default.max_ttl, seconds(1), seconds(86_400));
    let names_per_wildcard = raw
        .names_per_wildcard
        .as_ref()
        .map_or(default.names_per_wildcard, |text| names_per_wildcard(text, problems));
    DnsSettings { grace, max_ttl, names_per_wildcard }
}

fn names_per_wildcard(Text { text, span }: &Text<'_>, problems: &mut Problems) -> u32 {
    let (min, max) = (1, limits::NAMES_PER_WILDCARD);
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(count) if digits && (min..=max).contains(&count) => count,
        _ => {
            let what = "`dns.namesPerWildcard`";
            problems.push(*span, Problem::Count { what, text: shown(text), min, max });
            max
        }
    }
}

fn inbound(entries: &[Text<'_>], problems: &mut Problems) -> Vec<Inbound> {
    if entries.len() > limits::INBOUND {
        let span = entries.get(limits::INBOUND).map_or(Span::START, |entry| entry.span);
        let (found, most) = (entries.len(), limits::INBOUND);
        problems.push(span, Problem::TooMany { what: "`inbound` entries".to_owned(), found, most });
    }
    let mut unique = Unique::default();
    let mut sources = Vec::new();
    for Text { text, span } in entries {
        let source = if text == "node" {
            Inbound::Node
        } else {
            match cidr::parse(text) {
                Ok(net) => Inbound::Network(net),
                Err(_) if !text.contains(['.', ':', '/']) => {
                    let expected = "`node` or a network prefix";
                    problems.push(*span, unknown_value("`inbound`", text, expected, &["node"]));
                    continue;
                }
                Err(error) => {
                    problems.push(*span, Problem::Cidr { text: shown(text), error });
                    continue;
                }
            }
        };
        if unique.check(source, *span, text, || "`inbound`".to_owned(), problems) {
            sources.push(source);
        }
    }
    sources
}
