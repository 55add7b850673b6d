//! Writes a profile that allows what was seen, and nothing else, for a person to review.
//!
//! Names stay names (never wildcards), addresses that no name led to stand in rules of their own with
//! a warning, and every entry carries its evidence as a comment. What no profile can allow is left
//! out and said so.
//!
//! Invariant: the text is a valid profile, whatever the observations hold; process names come from
//! the job and are escaped to printable ASCII.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::SystemTime;

use super::host::HostName;
use super::port::Port;
use super::resolve::is_profile_name;

mod group;
#[cfg(test)]
mod tests;
mod utc;

use group::{Kind, Left, Rule, group};

/// Where something was seen to go, once or often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The name that led to the address, if one did.
    pub host: Option<HostName>,
    /// The address.
    pub address: IpAddr,
    /// The protocol and port.
    pub port: Port,
    /// How many connections or unconnected flows.
    pub count: u64,
    /// The names of the processes, as the job gave them.
    pub processes: BTreeSet<String>,
    /// When it was first seen.
    pub first_seen: SystemTime,
    /// When it was last seen.
    pub last_seen: SystemTime,
}

/// All observations of one destination together.
#[derive(Clone, Debug)]
struct Evidence {
    count: u64,
    processes: BTreeSet<String>,
    first_seen: SystemTime,
    last_seen: SystemTime,
}

impl Evidence {
    fn of(observation: &Observation) -> Self {
        Self {
            count: observation.count,
            processes: observation.processes.clone(),
            first_seen: observation.first_seen,
            last_seen: observation.last_seen,
        }
    }

    fn add(&mut self, observation: &Observation) {
        self.count = self.count.saturating_add(observation.count);
        self.processes.extend(observation.processes.iter().cloned());
        self.first_seen = self.first_seen.min(observation.first_seen);
        self.last_seen = self.last_seen.max(observation.last_seen);
    }
}

/// The text of a profile in block mode that allows what was observed.
///
/// `name` becomes `metadata.name` if it is a profile name, else `suggested` does.
#[must_use]
pub fn suggest(name: &str, observed: &[Observation]) -> String {
    let (rules, left) = group(observed);
    let name = if is_profile_name(name) { name } else { "suggested" };
    let mut text = format!(
        "# Suggested by weir from what was seen. Review every entry before use.\n\
         apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: \"{name}\" }}\n\
         spec:\n  mode: block\n"
    );
    text.push_str(if rules.is_empty() { "  allow: []\n" } else { "  allow:\n" });
    for rule in &rules {
        write_rule(&mut text, rule);
    }
    write_left(&mut text, &left);
    text
}

fn write_rule(text: &mut String, rule: &Rule) {
    let (warning, key) = match rule.kind {
        Kind::Names { private: false } => ("", "domains"),
        Kind::Names { private: true } => (
            "    # WARNING: these names led to private addresses; keep them only if that is meant.\n",
            "domains",
        ),
        Kind::Addresses => (
            "    # WARNING: no name led to these addresses. Find out what they are; who owns them can change.\n",
            "cidrs",
        ),
    };
    text.push_str(warning);
    line(text, format_args!("    - id: \"{}\"", rule.id));
    line(text, format_args!("      {key}:"));
    for (entry, evidence) in &rule.entries {
        line(text, format_args!("        # {}", comment(evidence)));
        line(text, format_args!("        - \"{entry}\""));
    }
    let ports: Vec<_> = rule.ports.iter().map(|port| format!("\"{port}\"")).collect();
    line(text, format_args!("      ports: [{}]", ports.join(", ")));
    if rule.kind == (Kind::Names { private: true }) {
        line(text, format_args!("      private: true"));
    }
}

fn write_left(text: &mut String, left: &BTreeMap<Left, BTreeSet<String>>) {
    /// How many destinations are named for one cause.
    const NAMED: usize = 50;
    for (cause, destinations) in left {
        line(text, format_args!("# Left out: {}", cause.describe()));
        for destination in destinations.iter().take(NAMED) {
            line(text, format_args!("#   {}", printable(destination)));
        }
        if let Some(more) = destinations.len().checked_sub(NAMED).filter(|more| *more > 0) {
            line(text, format_args!("#   and {more} more"));
        }
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{arguments}").unwrap_or_default();
}

/// `12 connections by git, curl; 2026-11-23T08:00:00Z to 2026-11-23T08:01:00Z`.
fn comment(evidence: &Evidence) -> String {
    /// How many processes are named.
    const NAMED: usize = 5;
    let mut names: Vec<_> =
        evidence.processes.iter().take(NAMED).map(|name| printable(name)).collect();
    if let Some(more) = evidence.processes.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    let by = if names.is_empty() { "unknown processes".to_owned() } else { names.join(", ") };
    let plural = if evidence.count == 1 { "" } else { "s" };
    let (first, last) = (utc::format(evidence.first_seen), utc::format(evidence.last_seen));
    format!("{} connection{plural} by {by}; {first} to {last}", evidence.count)
}

/// Text of the job as printable ASCII of bounded length, so that a comment stays a comment.
fn printable(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::new();
    for character in text.chars() {
        if out.len() >= LONGEST {
            out.push_str("...");
            break;
        }
        match character {
            ' '..='~' => out.push(character),
            _ => out.extend(character.escape_default()),
        }
    }
    out
}
