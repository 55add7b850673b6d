//! Lines, and a sink that fails.

use std::time::UNIX_EPOCH;

use super::*;
use crate::events::record::{Kind, PolicyInfo, Scope};

fn record() -> Record {
    let policy = PolicyInfo {
        scope: Scope::Default,
        profile: "deny-all".to_owned(),
        rule_id: "default-deny".to_owned(),
        bundle: "sha256:".to_owned(),
    };
    Record::new(Kind::Attach, UNIX_EPOCH, "ci-7".to_owned(), policy)
}

#[test]
fn what_a_terminal_would_obey_is_escaped_and_reads_back() {
    let hostile = "a\u{9b}31m\u{7f}\u{2028}\u{1b}[2J\n\"é";
    let json = serde_json::to_string(hostile).unwrap();
    let line = String::from_utf8(one_line(&json)).unwrap();
    let text = line.strip_suffix('\n').unwrap();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert_eq!(serde_json::from_str::<String>(text).unwrap(), hostile);
}

struct Broken;

impl io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_counts_what_it_lost() {
    let mut sink = Sink::none();
    sink.add("broken", Lines(Broken)).unwrap();
    for _ in 0..3 {
        assert!(sink.write(&Arc::default(), &record(), None));
    }
    let report = sink.finish();
    assert_eq!(report.dropped, 3);
    assert_eq!(report.error.unwrap().kind(), io::ErrorKind::StorageFull);
}

/// A place that takes nothing until the sink is closed.
struct Stuck;

impl Output for Stuck {
    fn take(&mut self, records: &[Line], is_ending: &dyn Fn() -> bool) -> Result<(), Refused> {
        while !is_ending() {
            thread::yield_now();
        }
        let records = u64::try_from(records.len()).unwrap();
        Err(Refused { records, error: io::ErrorKind::TimedOut.into() })
    }
}

#[test]
fn a_place_that_hangs_keeps_nothing_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut sink = Sink::none();
    sink.add("stuck", Stuck).unwrap();
    sink.add("file", file(&path, None).unwrap()).unwrap();
    let share = Arc::default();
    let offered = QUEUE + 10;
    let mut room = 0;
    for _ in 0..offered {
        // Only the file's queue drains.
        while sink.branches[1].queue.is_full_for(&share) {
            thread::yield_now();
        }
        room += usize::from(sink.write(&share, &record(), None));
    }
    let overflowed = usize::try_from(sink.overflowed()).unwrap();
    assert_eq!(room + overflowed, offered);
    assert!(overflowed > 0, "a queue without an end");
    drop(sink.finish());
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), offered);
}

#[test]
fn who_waits_in_vain_for_a_place_that_hangs_is_the_last_to_wait() {
    let mut sink = Sink::none();
    sink.add("stuck", Stuck).unwrap();
    let share = Arc::default();
    while sink.write(&share, &record(), None) {}
    let wait = Duration::from_millis(50);
    let begun = Instant::now();
    assert!(!sink.write(&share, &record(), Some(begun + wait)));
    assert!(begun.elapsed() >= wait);
    let begun = Instant::now();
    for _ in 0..10 {
        assert!(!sink.write(&share, &record(), Some(begun + wait * 100)));
    }
    assert!(begun.elapsed() < wait * 100);
    drop(sink.finish());
}
