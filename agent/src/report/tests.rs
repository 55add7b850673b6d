//! What records add up to.

use serde_json::{Value, json};

use super::{table::Tally, who::Who, *};
use crate::events::read::testing::{read_bytes, value};
use crate::identity::told::Told;

/// A record with these fields changed.
pub(super) fn with(changes: &[(&str, Value)]) -> Value {
    let mut value = value();
    for (pointer, new) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[field] = new.clone();
    }
    value
}

pub(super) fn flow(verdict: &str, count: u64, up: u64, down: u64) -> Value {
    with(&[
        ("/kind", json!("flow")),
        ("/verdict", json!(verdict)),
        ("/count", json!(count)),
        ("/bytes_up", json!(up)),
        ("/bytes_down", json!(down)),
    ])
}

pub(super) fn reported(records: &[Value]) -> Report {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let (entries, passed_over) = read_bytes(lines.join("\n").as_bytes());
    assert_eq!(passed_over.warnings(), Vec::<String>::new());
    let mut report = Report::default();
    for entry in &entries {
        report.add(entry);
    }
    report
}

fn counts(tally: &Tally) -> [u64; 5] {
    [tally.refused, tally.audited, tally.allowed, tally.bytes_up, tally.bytes_down]
}

#[test]
fn everything_is_counted_once() {
    let audit = with(&[("/verdict", json!("audit")), ("/destination/port", json!(80))]);
    let mut audited = flow("audit", 2, 20, 200);
    audited["destination"]["port"] = json!(80);
    let report = reported(&[
        value(),
        audit,
        flow("block", 5, 0, 0),
        audited,
        flow("allow", 3, 100, 1000),
        with(&[("/kind", json!("attach")), ("/verdict", json!(null))]),
        with(&[("/kind", json!("lost")), ("/verdict", json!(null)), ("/count", json!(7))]),
    ]);
    assert_eq!(counts(&report.total), [5, 2, 3, 120, 1200]);
    assert_eq!((report.records, report.lost), (7, 7));
    let sums: u64 = report.timeline.parts().iter().map(|part| part.counts.sum()).sum();
    assert_eq!(sums, 10);
    let attempts = report.attempts.top(10, |tally| (tally.refused, tally.audited));
    let shown: Vec<_> = attempts
        .rows
        .iter()
        .map(|(attempt, tally)| (attempt.verdict.to_string(), attempt.to.port(), tally.count()))
        .collect();
    let expected = [("refused", "443/tcp", 5), ("audited", "80/tcp", 2)];
    assert_eq!(shown, expected.map(|(v, p, n)| (v.to_owned(), p.to_owned(), n)));
    let destinations = report.destinations.top(10, Tally::bytes);
    let shown: Vec<_> =
        destinations.rows.iter().map(|(to, tally)| (to.port(), counts(tally))).collect();
    assert_eq!(
        shown,
        [("443/tcp".to_owned(), [5, 0, 3, 100, 1000]), ("80/tcp".to_owned(), [0, 2, 0, 20, 200])]
    );
    assert_eq!(report.reasons["domain_not_in_allowlist"].count(), 7);
}

#[test]
fn runs_of_one_job_are_one_row_and_two_jobs() {
    let other = with(&[("/pod/uid", json!("u-2")), ("/gitlab/job_id", json!(388_421))]);
    let report = reported(&[value(), other]);
    let shown = report.attempts.top(10, Tally::count);
    let [(_, tally)] = shown.rows.as_slice() else { panic!("{shown:?}") };
    assert_eq!((tally.refused, tally.jobs.describe().as_str()), (2, "2"));
}

#[test]
fn who_it_was_is_said_with_whose_word_that_is() {
    let who = |changes: &[(&str, Value)]| {
        let report = reported(&[with(changes)]);
        let shown = report.attempts.top(1, Tally::count);
        shown.rows[0].0.who.clone()
    };
    let job = |project: Told<&str>, job: Option<Told<&str>>| Who::Job {
        project: match project {
            Told::Fact(text) => Told::Fact(text.to_owned()),
            Told::Claim(text) => Told::Claim(text.to_owned()),
        },
        job: job.map(|job| match job {
            Told::Fact(text) => Told::Fact(text.to_owned()),
            Told::Claim(text) => Told::Claim(text.to_owned()),
        }),
    };
    assert_eq!(
        who(&[]),
        job(Told::Fact("project 42 (says: group/app)"), Some(Told::Claim("install")))
    );
    let trusted = ("/gitlab/untrusted", json!([]));
    assert_eq!(who(&[trusted]), job(Told::Fact("group/app"), Some(Told::Fact("install"))));
    let claimed = ("/gitlab/untrusted", json!(["project", "project_id"]));
    let no_name = ("/gitlab/job_name", json!(null));
    assert_eq!(who(&[claimed.clone(), no_name]), job(Told::Claim("group/app"), None));
    let nameless = ("/gitlab/project", json!(null));
    assert_eq!(
        who(&[claimed, nameless]),
        job(Told::Claim("project 42"), Some(Told::Fact("install")))
    );
    assert_eq!(who(&[("/gitlab", json!(null))]), Who::Namespace("ci".to_owned()));
    let machine = [("/gitlab", json!(null)), ("/pod", json!(null))];
    assert_eq!(who(&machine), Who::Machine("ci-7".to_owned()));
}

#[test]
fn a_question_and_an_address_are_destinations_too() {
    let question = with(&[
        ("/destination/ip", json!(null)),
        ("/destination/port", json!(null)),
        ("/destination/proto", json!("dns")),
    ]);
    let bare = with(&[("/destination/host", json!(null)), ("/process", json!(null))]);
    let report = reported(&[question, bare]);
    let shown = report.attempts.top(10, Tally::count);
    let shown: Vec<_> = shown
        .rows
        .iter()
        .map(|(attempt, _)| {
            format!("{} {} {}", attempt.to.host(), attempt.to.port(), attempt.process)
        })
        .collect();
    assert_eq!(shown, ["203.0.113.73 443/tcp (not known)", "collector.example.net question node"]);
}
