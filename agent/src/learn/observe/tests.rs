//! What each kind of record becomes.

use serde_json::{Value, json};

use crate::events::read::testing::value;
use crate::learn::tests::{text, with};

fn flow(verdict: &str, count: u64) -> Value {
    with(&[("/kind", json!("flow")), ("/verdict", json!(verdict)), ("/count", json!(count))])
}

fn question(verdict: &str) -> Value {
    with(&[
        ("/verdict", json!(verdict)),
        ("/destination/ip", json!(null)),
        ("/destination/port", json!(null)),
        ("/destination/proto", json!("dns")),
    ])
}

#[test]
fn what_passed_is_a_rule_counted_once() {
    let audit = with(&[("/verdict", json!("audit"))]);
    let text = text(&[audit.clone(), flow("audit", 5), flow("allow", 4)]);
    let expected = r#"  allow:
    - id: "names-443-tcp"
      domains:
        # 9 connections by node; 2026-11-22T09:02:11Z to 2026-11-22T09:02:11Z
        # in 1 job: https://gitlab.example.com/group/app/-/jobs/388420 (the job's word)
        - "collector.example.net"
      ports: ["443/tcp"]
"#;
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_first_sight_alone_is_enough() {
    let text = text(&[with(&[("/verdict", json!("audit"))])]);
    assert!(text.contains("# 1 connection by node;"), "{text}");
    assert!(text.contains("- \"collector.example.net\"\n"), "{text}");
}

#[test]
fn a_refusal_is_no_rule() {
    for records in [vec![value()], vec![value(), flow("block", 8)], vec![question("block")]] {
        let text = text(&records);
        assert!(text.contains("  allow: []\n# Refused, so not suggested"), "{text}");
        assert!(text.contains("#   - \"collector.example.net\""), "{text}");
    }
}

#[test]
fn a_question_is_a_rule_only_where_something_went() {
    let only_asked = text(&[question("audit")]);
    let expected = "  allow: []\n# Asked for and never connected to; add those that are wanted:\n\
                    #   - \"collector.example.net\"\n";
    assert!(only_asked.contains(expected), "{only_asked}");
    let connected = text(&[question("audit"), flow("audit", 1)]);
    assert!(!connected.contains("never connected"), "{connected}");
}

#[test]
fn every_name_of_an_address_is_wanted() {
    let mut shared = flow("audit", 2);
    shared["destination"]["other_hosts"] = json!(["a.example.net", "b.example.net"]);
    let text = text(&[question("audit"), shared]);
    for name in ["a.example.net", "b.example.net", "collector.example.net"] {
        assert!(text.contains(&format!("        - \"{name}\"\n")), "{text}");
    }
}

#[test]
fn an_address_without_a_name_is_a_rule_with_a_warning() {
    let text = text(&[with(&[("/verdict", json!("audit")), ("/destination/host", json!(null))])]);
    assert!(text.contains("- \"203.0.113.73/32\"\n"), "{text}");
    assert!(text.contains("# WARNING: no name led to these addresses."), "{text}");
}

#[test]
fn what_no_rule_can_name_is_left_out() {
    let audit = ("/verdict", json!("audit"));
    for (changes, expected) in [
        (
            vec![("/destination/proto", json!("ip-132"))],
            "protocols and ports that no rule can name\n#   203.0.113.73 ip-132",
        ),
        (
            vec![("/destination/port", json!(null))],
            "protocols and ports that no rule can name\n#   203.0.113.73 0/tcp",
        ),
        (
            vec![("/destination/host", json!("a b"))],
            "names that are not valid in a profile\n#   a b",
        ),
        (
            vec![("/destination/ip", json!("169.254.169.254"))],
            "no profile can open\n#   collector.example.net 443/tcp",
        ),
    ] {
        let text = text(&[with(&[changes, vec![audit.clone()]].concat())]);
        assert!(text.contains("  allow: []\n") && text.contains(expected), "{text}");
    }
    let fragments = with(&[audit, ("/reason", json!("unparsable"))]);
    let found = text(&[fragments]);
    assert!(found.contains("which no rule lets pass\n#   203.0.113.73 443/tcp"), "{found}");
    let mut budget = question("audit");
    budget["reason"] = json!("names_budget");
    let text = text(&[budget]);
    assert!(text.contains("names beyond `dns.namesPerWildcard`"), "{text}");
}

#[test]
fn icmp_and_udp_are_told_apart_from_tcp() {
    let proto = |proto: &str, port: Value| {
        with(&[
            ("/verdict", json!("audit")),
            ("/destination/proto", json!(proto)),
            ("/destination/port", port),
        ])
    };
    let text = text(&[proto("icmp", json!(null)), proto("udp", json!(443))]);
    assert!(text.contains("ports: [\"443/udp\", \"icmp\"]\n"), "{text}");
}

#[test]
fn records_that_tell_of_no_destination_are_passed_by() {
    let attach = with(&[
        ("/kind", json!("attach")),
        ("/verdict", json!(null)),
        ("/destination", json!(null)),
    ]);
    let text = text(&[attach, with(&[("/destination", json!(null))])]);
    assert!(text.ends_with("  allow: []\n"), "{text}");
}
