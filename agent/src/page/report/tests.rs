//! What programs read.

use super::*;
use crate::page::testing::{nothing, question};

#[test]
fn the_keys_are_those_of_the_published_format() {
    let report =
        Report { refused: 4, refusals: vec![question("a.example.net", "node")], ..nothing() };
    let expected = serde_json::json!({
        "schema": 1,
        "pod": { "namespace": "ci", "name": "runner-1", "uid": "u-1" },
        "profile": { "name": "build/node-22", "mode": "block", "bundle": "sha256:00" },
        "refused": 4,
        "audited": 0,
        "refusals": [{
            "verdict": "block",
            "reason": "domain_not_in_allowlist",
            "profile": "build/node-22",
            "rule_id": "default-deny",
            "destination": { "host": "a.example.net", "ip": null, "port": null, "proto": "dns" },
            "count": 4,
            "first": "2026-11-22T09:02:11.412Z",
            "last": "2026-11-22T09:02:12.000Z",
            "process": { "comm": "node", "binary": "/usr/bin/node" },
            "processes": 1,
            "container": "build",
        }],
        "omitted": 0,
        "suggestion": null,
        "help": null,
    });
    let found: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn json_is_one_line_of_ascii_and_says_the_same() {
    let hostile = "\u{1b}[31m\"\\\n\u{7f}\u{9b}\u{202e}é\u{1f600}";
    let report = Report { refusals: vec![question(hostile, hostile)], ..nothing() };
    let text = report.to_json();
    assert!(text.trim_end_matches('\n').chars().all(|one| matches!(one, ' '..='~')), "{text:?}");
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["refusals"][0]["process"]["comm"], hostile);
}

#[test]
fn the_schema_names_every_reason() {
    let schema = schema().unwrap();
    for reason in weir_ebpf::reason::Reason::ALL {
        assert!(schema.contains(reason.as_str()), "{}", reason.as_str());
    }
}
