//! Records that wait for whom they are of.

use std::time::UNIX_EPOCH;

use super::*;
use crate::events::record::{Kind, PolicyInfo, Scope};

fn record(count: u64) -> Record {
    let policy = PolicyInfo {
        scope: Scope::Default,
        profile: "deny-all".to_owned(),
        rule_id: "default-deny".to_owned(),
        bundle: "sha256:".to_owned(),
    };
    Record { count, ..Record::new(Kind::Violation, UNIX_EPOCH, "ci-7".to_owned(), policy) }
}

fn runner(scale_set: &str) -> GithubInfo {
    let scale_set = scale_set.to_owned();
    GithubInfo { scale_set, enterprise: None, organization: None, repository: None }
}

fn named(scale_set: &str) -> impl FnOnce(&mut SubjectInfo) {
    let github = Some(runner(scale_set));
    move |info| info.github = github
}

/// Number, scale set, whether pending, of each.
fn told(records: &[Record]) -> Vec<(u64, Option<&str>, bool)> {
    fn told(record: &Record) -> (u64, Option<&str>, bool) {
        let scale_set = record.github.as_ref().map(|github| github.scale_set.as_str());
        (record.count, scale_set, record.identity == Some(IdentityInfo::Pending))
    }
    records.iter().map(told).collect()
}

#[test]
fn what_is_known_from_the_start_waits_for_nobody() {
    let subject =
        Subject::known(SubjectInfo { github: Some(runner("a")), ..SubjectInfo::default() });
    assert_eq!(told(&subject.name(record(1))), [(1, Some("a"), false)]);
    assert!(subject.complete(named("b")).is_empty() && subject.give_up().is_empty());
    assert_eq!(told(&subject.name(record(2))), [(2, Some("a"), false)]);
}

#[test]
fn records_wait_and_are_completed_in_their_order() {
    let subject = Subject::awaited(SubjectInfo::default());
    assert!(subject.name(record(1)).is_empty() && subject.name(record(2)).is_empty());
    let now = subject.complete(named("a"));
    assert_eq!(told(&now), [(1, Some("a"), false), (2, Some("a"), false)]);
    // The second word does not count.
    assert!(subject.complete(named("b")).is_empty());
    assert_eq!(told(&subject.name(record(3))), [(3, Some("a"), false)]);
}

#[test]
fn what_does_not_come_in_time_is_pending_until_it_comes() {
    let subject = Subject::awaited(SubjectInfo::default());
    assert!(subject.name(record(1)).is_empty());
    assert_eq!(told(&subject.give_up()), [(1, None, true)]);
    assert_eq!(told(&subject.name(record(2))), [(2, None, true)]);
    assert!(subject.complete(named("a")).is_empty());
    assert_eq!(told(&subject.name(record(3))), [(3, Some("a"), false)]);
}

#[test]
fn a_flood_of_records_does_not_wait() {
    let subject = Subject::awaited(SubjectInfo::default());
    let mut written = Vec::new();
    for number in 0..100 {
        written.extend(subject.name(record(number)));
    }
    assert_eq!(written.len(), 100);
    assert!(written.iter().zip(0..).all(|(record, number)| record.count == number));
}
