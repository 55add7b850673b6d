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

/// A name that was asked for and refused, so that nothing could be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedName {
    /// The name.
    pub name: HostName,
    /// Whether it was refused because it led to a private address.
    pub private: bool,
    /// How many questions.
    pub count: u64,
    /// The names of the processes, as the job gave them.
    pub processes: BTreeSet<String>,
    /// When it was first asked for.
    pub first_seen: SystemTime,
    /// When it was last asked for.
    pub last_seen: SystemTime,
}

/// All observations of one destination together.
#[derive(Clone, Debug)]
struct Evidence {
    connections: u64,
    questions: u64,
    processes: BTreeSet<String>,
    first_seen: SystemTime,
    last_seen: SystemTime,
}

impl Evidence {
    fn of(observation: &Observation) -> Self {
        Self {
            connections: observation.count,
            questions: 0,
            processes: observation.processes.clone(),
            first_seen: observation.first_seen,
            last_seen: observation.last_seen,
        }
    }

    fn of_asked(asked: &AskedName) -> Self {
        Self {
            connections: 0,
            questions: asked.count,
            processes: asked.processes.clone(),
            first_seen: asked.first_seen,
            last_seen: asked.last_seen,
        }
    }

    fn add(&mut self, other: Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.questions = self.questions.saturating_add(other.questions);
        self.processes.extend(other.processes);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// The text of a profile in block mode that allows what was observed.
///
/// `name` becomes `metadata.name` if it is a profile name, else `suggested` does.
#[must_use]
pub fn suggest(name: &str, observed: &[Observation]) -> String {
    let (rules, left) = group(observed, &[]);
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

/// The entries of `allow` alone, for what was observed and what was asked for; `None` where there would be none.
#[must_use]
pub fn suggest_rules(observed: &[Observation], asked: &[AskedName]) -> Option<String> {
    let (rules, left) = group(observed, asked);
    let mut text = String::new();
    for rule in &rules {
        write_rule(&mut text, rule);
    }
    write_left(&mut text, &left);
    (!rules.is_empty()).then_some(text)
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
    if rule.ports.is_empty() {
        text.push_str(
            "    # Refused before anything could be connected to; without `ports` it is 443/tcp.\n",
        );
    }
    line(text, format_args!("    - id: \"{}\"", rule.id));
    line(text, format_args!("      {key}:"));
    for (entry, evidence) in &rule.entries {
        line(text, format_args!("        # {}", comment(evidence)));
        line(text, format_args!("        - \"{entry}\""));
    }
    if !rule.ports.is_empty() {
        let ports: Vec<_> = rule.ports.iter().map(|port| format!("\"{port}\"")).collect();
        line(text, format_args!("      ports: [{}]", ports.join(", ")));
    }
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
    let (first, last) = (utc::format(evidence.first_seen), utc::format(evidence.last_seen));
    let connections = counted(evidence.connections, "connection");
    let questions = counted(evidence.questions, "question");
    let what = match (evidence.connections, evidence.questions) {
        (_, 0) => connections,
        (0, _) => questions,
        _ => format!("{connections} and {questions}"),
    };
    format!("{what} by {by}; {first} to {last}")
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
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
