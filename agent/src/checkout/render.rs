//! Writes the profile: a rule for each purpose and port, every entry with its evidence, and what stays open behind
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ipnet::IpNet;

use super::endpoint::{Endpoint, Host};
use super::findings::{Findings, Places};
use super::purpose::Purpose;
use crate::policy::{is_profile_name, limits};

pub(super) const HEADER: &str = "\
# Suggested by weir from what the checkout says of itself. Review every entry before use.
# What scripts and tests fetch stands in none of its files: run the job once with `weir run --audit --suggest FILE`.
# A name that leads to private addresses needs `private: true` in its rule.
";

/// What the entries of a rule are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Names,
    Addresses,
}

type Rules<'a> = BTreeMap<(Purpose, Kind, u16), Vec<(String, &'a Places)>>;

/// The text of the profile.
pub(super) fn render(name: &str, findings: &Findings) -> String {
    let name = if is_profile_name(name) { name } else { "suggested" };
    let mut text = format!(
        "{HEADER}apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: \"{name}\" }}\n\
         spec:\n  mode: block\n"
    );
    let (rules, left) = rules(findings);
    text.push_str(if rules.is_empty() { "  allow: []\n" } else { "  allow:\n" });
    for ((purpose, kind, port), entries) in &rules {
        write_rule(&mut text, *purpose, *kind, *port, entries);
    }
    for (gap, places) in findings.gaps() {
        line(&mut text, format_args!("# {}: {gap} ({places})", gap.heading()));
    }
    if !left.is_empty() {
        line(&mut text, format_args!("# Left out: more than one profile can hold"));
    }
    for endpoint in &left {
        line(&mut text, format_args!("#   {} {}", endpoint.host, endpoint.port));
    }
    text
}

/// Endpoints by rule, and those that a profile has no room for.
fn rules(findings: &Findings) -> (Rules<'_>, BTreeSet<&Endpoint>) {
    let mut rules = Rules::new();
    let mut left = BTreeSet::new();
    // A name may stand in so many rules, and the ports of one address add up to so many.
    let mut of_host: BTreeMap<&Host, BTreeSet<(Purpose, u16)>> = BTreeMap::new();
    for (purpose, endpoint, places) in findings.endpoints() {
        let (kind, entry, most) = match &endpoint.host {
            Host::Name(name) => (Kind::Names, name.to_string(), limits::RULES_PER_NAME),
            Host::Address(address) => {
                (Kind::Addresses, IpNet::from(*address).to_string(), limits::PORTS)
            }
        };
        let key = (purpose, kind, endpoint.port);
        let known = of_host.entry(&endpoint.host).or_default();
        let room = known.len() < most && (rules.contains_key(&key) || rules.len() < limits::RULES);
        if room {
            known.insert((purpose, endpoint.port));
            rules.entry(key).or_default().push((entry, places));
        } else {
            left.insert(endpoint);
        }
    }
    (rules, left)
}

fn write_rule(
    text: &mut String,
    purpose: Purpose,
    kind: Kind,
    port: u16,
    entries: &[(String, &Places)],
) {
    let (middle, key) = match kind {
        Kind::Names => ("", "domains"),
        Kind::Addresses => ("-addresses", "cidrs"),
    };
    if let Some(note) = purpose.note() {
        line(text, format_args!("    # {note}"));
    }
    if kind == Kind::Addresses {
        line(
            text,
            format_args!("    # WARNING: addresses without a name; who owns them can change."),
        );
    }
    let port_of_id = if port == 443 { String::new() } else { format!("-{port}") };
    line(text, format_args!("    - id: \"{}{middle}{port_of_id}\"", purpose.id()));
    line(text, format_args!("      {key}:"));
    for (entry, places) in entries {
        line(text, format_args!("        # {places}"));
        line(text, format_args!("        - \"{entry}\""));
    }
    line(text, format_args!("      ports: [\"{port}/tcp\"]"));
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{arguments}").unwrap_or_default();
}
