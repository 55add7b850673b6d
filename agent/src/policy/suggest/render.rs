//! Rules as YAML, with their evidence as comments.

use std::fmt::Write as _;

use super::evidence::Evidence;
use super::group::{Kind, Plan, Rule};
use super::sample::printable;
use super::{Heading, Subject};
use crate::policy::limits;
use crate::policy::port::Port;
use crate::policy::settings::DnsSettings;
use crate::yaml::Style;

/// How much evidence a file holds, so that it stays below [`limits::FILE_BYTES`] with all its entries.
const EVIDENCE_BYTES: usize = 4 * 1024 * 1024;
/// The longest text of others in one comment, in bytes; evidence is kept shorter.
const COMMENT_BYTES: usize = 400;
/// How many are named of those that are only told of.
const NAMED: usize = 50;

/// A whole profile.
pub(super) fn profile(name: &str, heading: &Heading, plan: &Plan<'_>) -> String {
    let mut text =
        String::from("# Suggested by weir from what was seen. Review every entry before use.\n");
    for note in &heading.notes {
        line(&mut text, format_args!("# {}", printable(note, COMMENT_BYTES)));
    }
    line(
        &mut text,
        format_args!(
            "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: \"{name}\" }}\n\
             spec:\n  mode: block"
        ),
    );
    if let Some(selection) = heading.selector.as_ref().map(super::Selector::line) {
        line(&mut text, format_args!("  {selection}"));
    }
    if let Some(most) = names_per_wildcard(plan, DnsSettings::default().names_per_wildcard) {
        line(
            &mut text,
            format_args!("  # WARNING: so many names below one wildcard can carry data out."),
        );
        line(&mut text, format_args!("  dns: {{ namesPerWildcard: {most} }}"));
    }
    text.push_str(if plan.rules.is_empty() { "  allow: []\n" } else { "  allow:\n" });
    text.push_str(&rules(&plan.rules, 4, Style::Block));
    text.push_str(&told(plan, 0));
    text
}

/// What `dns.namesPerWildcard` has to be for the names that were seen, where the profile's own is too small.
pub(super) fn names_per_wildcard(plan: &Plan<'_>, own: u32) -> Option<u32> {
    let seen = u32::try_from(plan.names_below).unwrap_or(u32::MAX);
    (seen > own).then_some(seen.min(limits::NAMES_PER_WILDCARD))
}

/// The rules, each line indented so far.
pub(super) fn rules(rules: &[Rule], indent: usize, style: Style) -> String {
    let mut text = String::new();
    for rule in rules {
        write_rule(&mut text, rule, indent, style);
    }
    text
}

fn write_rule(text: &mut String, rule: &Rule, indent: usize, style: Style) {
    let space = " ".repeat(indent);
    if let Some(warning) = warning(rule.kind) {
        line(text, format_args!("{space}# WARNING: {warning}"));
    }
    let key = match rule.kind {
        Kind::Names { .. } | Kind::Wildcards => "domains",
        Kind::Addresses => "cidrs",
    };
    match style {
        Style::Block => line(text, format_args!("{space}- id: \"{}\"\n{space}  {key}:", rule.id)),
        Style::Flow => line(text, format_args!("{space}{{ id: \"{}\", {key}: [", rule.id)),
    }
    for entry in &rule.entries {
        if text.len() < EVIDENCE_BYTES {
            let seen = entry.evidence.lines(entry.evidence.thing());
            for comment in entry.covers.iter().chain(&seen) {
                line(text, format_args!("{space}    # {comment}"));
            }
        }
        match style {
            Style::Block => line(text, format_args!("{space}    - \"{}\"", entry.text)),
            Style::Flow => line(text, format_args!("{space}    \"{}\",", entry.text)),
        }
    }
    let ports: Vec<_> = rule.ports.iter().map(|port| format!("\"{port}\"")).collect();
    let ports = ports.join(", ");
    let private = rule.kind == (Kind::Names { private: true });
    match style {
        Style::Block => {
            line(text, format_args!("{space}  ports: [{ports}]"));
            if private {
                line(text, format_args!("{space}  private: true"));
            }
        }
        Style::Flow => {
            let private = if private { ", private: true" } else { "" };
            line(text, format_args!("{space}  ], ports: [{ports}]{private} }},"));
        }
    }
}

const fn warning(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Names { private: false } => None,
        Kind::Names { private: true } => {
            Some("these names led to private addresses; keep them only if that is meant.")
        }
        Kind::Wildcards => Some(
            "each of these allows every name one label below; list the names instead where they are few.",
        ),
        Kind::Addresses => Some(
            "no name led to these addresses. Find out what they are; who owns them can change.",
        ),
    }
}

/// Comments about all that is in no rule, each line indented so far.
pub(super) fn told(plan: &Plan<'_>, indent: usize) -> String {
    let space = " ".repeat(indent);
    let mut text = String::new();
    for (why, what) in plan.left.iter() {
        line(&mut text, format_args!("{space}# Left out: {}", why.describe()));
        for destination in what.kept() {
            line(&mut text, format_args!("{space}#   {destination}"));
        }
        if let Some(others) = what.others() {
            line(&mut text, format_args!("{space}#   and {others} more"));
        }
    }
    if !plan.asked.is_empty() {
        let heading = "Asked for and never connected to; add those that are wanted:";
        line(&mut text, format_args!("{space}# {heading}"));
        for (name, evidence) in plan.asked.iter().take(NAMED) {
            candidate(&mut text, &space, &format!("\"{name}\""), "question", evidence);
        }
        more(&mut text, &space, plan.asked.len());
    }
    if !plan.refused.is_empty() {
        let heading =
            "Refused, so not suggested; add those that are wanted, with the ports they need:";
        line(&mut text, format_args!("{space}# {heading}"));
        for (subject, port, refused) in plan.refused.iter().take(NAMED) {
            let thing = if port.is_some() { "connection" } else { "question" };
            let reasons: Vec<&str> = refused.reasons.iter().copied().collect();
            let entry = entry(subject, *port);
            let entry = format!("{entry}  # {}", reasons.join(", "));
            candidate(&mut text, &space, &entry, thing, &refused.evidence);
        }
        more(&mut text, &space, plan.refused.len());
    }
    text
}

/// An entry as it would stand in a rule.
fn entry(subject: &Subject, port: Option<Port>) -> String {
    let what = match subject {
        Subject::Name(name) => format!("\"{name}\""),
        Subject::Address(address) => format!("\"{}\"", ipnet::IpNet::from(*address)),
    };
    port.map_or_else(|| what.clone(), |port| format!("{what} at {port}"))
}

/// An entry that is commented out.
fn candidate(text: &mut String, space: &str, entry: &str, thing: &str, evidence: &Evidence) {
    line(text, format_args!("{space}#   - {entry}"));
    for seen in evidence.lines(thing) {
        line(text, format_args!("{space}#       {seen}"));
    }
}

fn more(text: &mut String, space: &str, count: usize) {
    if let Some(more) = count.checked_sub(NAMED).filter(|more| *more > 0) {
        line(text, format_args!("{space}#   and {more} more"));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{arguments}").unwrap_or_default();
}

#[cfg(test)]
mod tests;
