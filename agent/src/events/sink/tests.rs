//! Lines, and a sink that fails.

use std::{io, sync::Arc, time::UNIX_EPOCH};

use super::{Sink, one_line};
use crate::events::record::{Kind, PolicyInfo, Record, Scope};

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
    let sink = Sink::new(Broken).unwrap();
    for _ in 0..3 {
        assert!(sink.write(&Arc::default(), &record(), None));
    }
    let report = sink.finish();
    assert_eq!(report.dropped, 3);
    assert_eq!(report.error.unwrap().kind(), io::ErrorKind::StorageFull);
}
