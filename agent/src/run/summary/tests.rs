//! The table from accounts.

use std::{
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use weir_ebpf::{address::protocol, flow::Outcome, pod::PodCounters, reason::Reason};

use super::{bytes, printable, render};
use crate::{
    attribution::Identity,
    pod::account::Account,
    policy::{Profile, RuleIndex},
};

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| {
    let text = "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: test }\n\
                spec:\n  allow:\n    - { id: web, domains: [a.example.com] }\n";
    Arc::new(Profile::from_yaml("test.yaml", text).unwrap())
});

fn account(host: Option<&str>, outcome: Outcome) -> Account {
    Account {
        process: Identity { comm: "curl".to_owned(), ..Identity::default() },
        hosts: host.map(str::to_owned).into_iter().collect(),
        ip: Some([192, 0, 2, 7].into()),
        protocol: Some(protocol::TCP),
        port: 443,
        past_ip: None,
        known: 0,
        outcome,
        reason: (outcome != Outcome::Allowed).then_some(Reason::DirectIpNoDns),
        provenance: Arc::clone(PROFILE.provenance()),
        rule: RuleIndex(0),
        count: 1,
        bytes_up: 100,
        bytes_down: 2048,
        first: SystemTime::UNIX_EPOCH,
        last: SystemTime::UNIX_EPOCH,
    }
}

#[test]
fn refused_come_first_and_equal_rows_are_added() {
    let accounts = [
        account(Some("a.example.com"), Outcome::Allowed),
        account(Some("a.example.com"), Outcome::Allowed),
        account(None, Outcome::Blocked),
    ];
    let text = render(&Profile::deny_all(), &accounts, &PodCounters::default(), false);
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("192.0.2.7")).collect();
    assert_eq!(
        lines,
        [
            "192.0.2.7                  443/tcp  BLOCK direct_ip_no_dns  1      100 B  2.0 KiB   curl",
            "a.example.com (192.0.2.7)  443/tcp  allow (web)             2      200 B  4.0 KiB   curl",
        ]
    );
    assert!(text.contains("1 refused, 0 audited"), "{text}");
}

#[test]
fn lost_counts_and_kept_capabilities_are_told() {
    let counters = PodCounters { lost_events: 3, ..PodCounters::default() };
    let text = render(&Profile::deny_all(), &[], &counters, true);
    assert!(text.contains("3 events or counts did not fit"), "{text}");
    assert!(text.contains("--keep-caps"), "{text}");
}

#[test]
fn hostile_text_moves_no_cursor() {
    assert_eq!(printable("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
}

#[test]
fn units() {
    assert_eq!(bytes(1023), "1023 B");
    assert_eq!(bytes(1536), "1.5 KiB");
    assert_eq!(bytes(5 << 30), "5.0 GiB");
}
