//! What is told as one, and what is suggested for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::{attribution::Identity, policy::Profile};

const PROFILE: &str =
    "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: a }\nspec: {}\n";

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

/// A refused question of process `pid`.
fn asked(host: &str, pid: u32, comm: &str, second: u64) -> Account {
    Account {
        process: Identity { comm: comm.to_owned(), pid, ..Identity::default() },
        hosts: vec![host.to_owned()],
        ip: None,
        protocol: None,
        port: 0,
        past_ip: None,
        known: 0,
        outcome: Outcome::Blocked,
        reason: Some(Reason::DomainNotInAllowlist),
        provenance: Arc::clone(Profile::from_yaml("a.yaml", PROFILE).unwrap().provenance()),
        rule: RuleIndex::DEFAULT_DENY,
        count: 2,
        bytes_up: 0,
        bytes_down: 0,
        first: at(second),
        last: at(second + 10),
    }
}

/// A refused connect.
fn connected(ip: &str, protocol: u8, port: u16, reason: Reason) -> Account {
    Account {
        hosts: Vec::new(),
        ip: Some(ip.parse().unwrap()),
        protocol: Some(protocol),
        port,
        past_ip: None,
        known: 0,
        reason: Some(reason),
        ..asked("", 7, "curl", 0)
    }
}

#[test]
fn processes_of_one_program_are_told_as_one_and_by_first_sight() {
    let rows = Rows::of(vec![
        asked("b.example.net", 8, "node", 5),
        asked("a.example.net", 7, "node", 3),
        asked("b.example.net", 9, "node", 4),
        asked("b.example.net", 9, "curl", 6),
    ]);
    let told: Vec<_> = rows
        .rows
        .iter()
        .map(|row| {
            let account = &row.account;
            let name = account.hosts[0].as_str();
            (
                name,
                account.process.comm.as_str(),
                account.process.pid,
                account.count,
                row.processes.len(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a.example.net", "node", 7, 2, 1),
            ("b.example.net", "node", 9, 4, 2),
            ("b.example.net", "curl", 9, 2, 1)
        ]
    );
    assert_eq!(rows.rows[1].account.first, at(4));
    assert_eq!(rows.rows[1].account.last, at(15));
}

#[test]
fn a_host_is_one_destination_whatever_its_addresses() {
    let named = |ip| {
        let hosts = vec!["a.example.net".to_owned()];
        Account { hosts, ..connected(ip, 6, 443, Reason::DomainNotInAllowlist) }
    };
    let bare = |ip| connected(ip, 6, 443, Reason::DirectIpNoDns);
    let rows = Rows::of(vec![
        named("203.0.113.1"),
        named("203.0.113.2"),
        bare("203.0.113.1"),
        bare("203.0.113.2"),
    ]);
    assert_eq!(rows.rows.len(), 3);
}

#[test]
fn what_is_beyond_the_list_is_counted() {
    let accounts = (0..DESTINATIONS + 5).map(|n| asked(&format!("{n}.example.net"), 7, "node", 0));
    let rows = Rows::of(accounts.collect());
    assert_eq!((rows.rows.len(), rows.omitted), (DESTINATIONS, 5));
}

fn suggested(accounts: Vec<Account>) -> Option<String> {
    let rules = Rows::of(accounts).suggestion()?;
    let text = PROFILE.replace("spec: {}\n", &format!("spec:\n  allow:\n{rules}"));
    Profile::from_yaml("suggested.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Some(rules)
}

#[test]
fn a_suggestion_is_rules_that_a_profile_takes() {
    let private =
        Account { reason: Some(Reason::PrivateAnswer), ..asked("db.example.net", 7, "psql", 0) };
    let rules = suggested(vec![
        asked("a.example.net", 7, "node", 0),
        private,
        connected("203.0.113.66", 6, 8443, Reason::DirectIpNoDns),
        connected("203.0.113.67", 1, 0, Reason::ProtocolNotAllowed),
    ]);
    assert_eq!(
        rules.unwrap(),
        r#"    - id: "names-443-tcp"
      domains:
        # 2 questions by node; 2023-11-14T22:13:20Z to 2023-11-14T22:13:30Z
        - "a.example.net"
      ports: ["443/tcp"]
    # WARNING: these names led to private addresses; keep them only if that is meant.
    - id: "private-names-443-tcp"
      domains:
        # 2 questions by psql; 2023-11-14T22:13:20Z to 2023-11-14T22:13:30Z
        - "db.example.net"
      ports: ["443/tcp"]
      private: true
    # WARNING: no name led to these addresses. Find out what they are; who owns them can change.
    - id: "addresses-8443-tcp"
      cidrs:
        # 2 connections by curl; 2023-11-14T22:13:20Z to 2023-11-14T22:13:30Z
        - "203.0.113.66/32"
      ports: ["8443/tcp"]
    # WARNING: no name led to these addresses. Find out what they are; who owns them can change.
    - id: "addresses-icmp"
      cidrs:
        # 2 connections by curl; 2023-11-14T22:13:20Z to 2023-11-14T22:13:30Z
        - "203.0.113.67/32"
      ports: ["icmp"]
"#
    );
}

#[test]
fn nothing_is_suggested_that_would_not_help() {
    let denied = Account { rule: RuleIndex::DENY, ..asked("a.example.net", 7, "node", 0) };
    let odd = asked("a\\032b.example.net", 7, "node", 0);
    assert_eq!(suggested(vec![denied, odd]), None);
    for reason in [Reason::Expired, Reason::RawSocket, Reason::Unparsable] {
        assert_eq!(suggested(vec![connected("203.0.113.66", 6, 443, reason)]), None, "{reason:?}");
    }
    let metadata = connected("169.254.169.254", 6, 80, Reason::MetadataService);
    assert_eq!(
        suggested(vec![metadata, connected("203.0.113.66", 6, 0, Reason::DirectIpNoDns)]),
        None
    );
}

#[test]
fn a_name_that_was_connected_to_keeps_the_ports_that_were_seen() {
    let hosts = vec!["a.example.net".to_owned()];
    let seen = Account {
        hosts,
        outcome: Outcome::Audited,
        ..connected("203.0.113.1", 6, 22, Reason::DomainNotInAllowlist)
    };
    let rules = suggested(vec![asked("a.example.net", 7, "git", 0), seen]).unwrap();
    assert!(rules.contains("# 2 connections by curl;"), "{rules}");
    assert!(
        rules.contains("- id: \"names-22-tcp\"") && rules.contains("ports: [\"22/tcp\"]"),
        "{rules}"
    );
}
