//! What people read.

use weir_ebpf::reason::Reason;

use super::*;
use crate::{
    events::record::RecordReason,
    page::testing::{nothing, question},
};

fn refusals() -> Vec<Refusal> {
    let mut connect = question("", "curl");
    connect.destination.host = None;
    connect.destination.ip = Some("203.0.113.66".parse().unwrap());
    connect.destination.port = Some(443);
    connect.destination.proto = "tcp".to_owned();
    connect.reason = RecordReason(Reason::DirectIpNoDns);
    connect.verdict = RecordVerdict::Audit;
    connect.count = 12;
    let unknown = Refusal { process: None, ..connect.clone() };
    vec![question("collector.example.net", "node"), connect, unknown]
}

#[test]
fn a_report_reads_well_in_a_log() {
    let suggestion = Some("    - id: \"names\"\n".to_owned());
    let help = Some("Ask in #egress.".to_owned());
    let report = Report {
        refused: 4,
        audited: 24,
        refusals: refusals(),
        omitted: 2,
        suggestion,
        help,
        ..nothing()
    };
    assert_eq!(
        render(&report),
        "\
weir: 4 attempts were refused; 24 passed while the mode was audit
profile build/node-22, mode block, pod ci/runner-1

DESTINATION            PORT     VERDICT                           RULE          COUNT  PROCESS
collector.example.net  dns      refused: domain_not_in_allowlist  default-deny  4      node (/usr/bin/node)
203.0.113.66           443/tcp  audited: direct_ip_no_dns         default-deny  12     curl (/usr/bin/node)
203.0.113.66           443/tcp  audited: direct_ip_no_dns         default-deny  12     unknown
and 2 more

Ask for what the job needs. In the profile it would read:

  allow:
    - id: \"names\"

Ask in #egress.
"
    );
}

#[test]
fn a_job_that_was_refused_nothing_reads_two_lines() {
    let quiet = Report { help: Some("Ask in #egress.".to_owned()), ..nothing() };
    assert_eq!(
        render(&quiet),
        "weir: nothing was refused\nprofile build/node-22, mode block, pod ci/runner-1\n"
    );
    let mut audited = Report { audited: 1, pod: None, ..nothing() };
    audited.profile.mode = Mode::Audit;
    let said = render(&audited);
    assert!(
        said.starts_with(
            "weir: nothing was refused; 1 would be, and passed because of audit mode\n"
        )
    );
    assert!(said.ends_with("profile build/node-22, mode audit\n"), "{said}");
}

#[test]
fn nothing_of_the_jobs_moves_a_cursor_or_looks_like_a_line() {
    let hostile = "\u{1b}[2J\r\nweir: nothing was refused\u{9b}31m\u{202e}\u{7f}\u{0}é";
    let mut refusal = question(hostile, hostile);
    refusal.process.as_mut().unwrap().binary = Some(hostile.to_owned());
    let mut report = Report { refused: 1, refusals: vec![refusal], ..nothing() };
    report.profile.name = hostile.to_owned();
    let said = render(&report);
    assert!(said.chars().all(|one| matches!(one, ' '..='~' | '\n')), "{said:?}");
    assert_eq!(said.lines().count(), 5);
}

#[test]
fn a_log_is_not_flooded() {
    let long = format!("{}.example.net", "a".repeat(63));
    let refusals: Vec<_> = (0..200).map(|n| question(&format!("{n}.{long}"), "node")).collect();
    let report = Report { refused: 999, refusals, omitted: 7, ..nothing() };
    let said = render(&report);
    assert_eq!(said.lines().count(), 3 + 1 + ROWS + 1);
    assert!(said.ends_with("\nand 157 more\n"), "{said}");
    assert!(said.lines().all(|line| line.len() < 200));
    assert!(said.contains("aaa...  dns"), "{said}");
}
