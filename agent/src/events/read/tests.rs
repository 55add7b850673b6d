//! Records as they were written, and everything that pipelines put between them.

use std::io::Write as _;

use serde_json::{Value, json};

use super::testing::{read_bytes, value};
use super::*;
use crate::events::record::Kind;

fn with(pointer: &str, new: Value) -> String {
    let mut value = value();
    *value.pointer_mut(pointer).unwrap() = new;
    value.to_string()
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let (entries, passed_over) = read_bytes(format!("{}\n", value()).as_bytes());
    assert_eq!(passed_over, PassedOver::default());
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(serde_json::to_value(&entry.record).unwrap(), value());
    assert_eq!(humantime::format_rfc3339_millis(entry.at).to_string(), "2026-11-22T09:02:11.412Z");
    assert_eq!((entry.since, entry.fresh), (entry.at, 1));
}

#[test]
fn a_flow_says_when_it_began() {
    let mut flow = value();
    flow["kind"] = json!("flow");
    flow["duration_ms"] = json!(1500);
    let (entries, _) = read_bytes(flow.to_string().as_bytes());
    assert_eq!(entries[0].at.duration_since(entries[0].since).unwrap().as_millis(), 1500);
    // Longer than the clock has run: hostile, or a clock that was set.
    flow["duration_ms"] = json!(u64::MAX);
    let (entries, _) = read_bytes(flow.to_string().as_bytes());
    assert_eq!(entries[0].since, SystemTime::UNIX_EPOCH);
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let mut newer = value();
    newer["cluster"] = json!({ "name": "a" });
    newer["destination"]["asn"] = json!(64_496);
    let (entries, passed_over) = read_bytes(newer.to_string().as_bytes());
    assert_eq!((entries.len(), passed_over), (1, PassedOver::default()));
}

#[test]
fn fields_that_records_may_lack_are_not_missed() {
    let mut lean = value();
    for field in ["process", "container", "reason"] {
        lean.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(read_bytes(lean.to_string().as_bytes()).0.len(), 1);
    // Without it, nobody would know what to believe.
    lean["gitlab"].as_object_mut().unwrap().remove("untrusted");
    assert_eq!(read_bytes(lean.to_string().as_bytes()).1.count(Fault::NotUnderstood), 1);
}

#[test]
fn lines_that_are_no_records_are_counted_and_said() {
    let good = value().to_string();
    let lines = [
        good.as_str(),
        "",
        "2026-11-22 09:02:11 starting up",
        "{\"level\":\"info\",\"message\":\"hello\"}",
        "[1,2,3]",
        "\"text\"",
        &with("/schema", json!(2)),
        "{\"schema\":3,\"what\":\"ever\"}",
        &with("/kind", json!("no_such_kind")),
        &with("/reason", json!("no_such_reason")),
        &with("/ts", json!("yesterday")),
        &with("/destination/ip", json!("example.com")),
        &"[".repeat(100_000),
        &"x".repeat(LINE_BYTES + 1),
        &good,
        &good[..40],
    ];
    let (entries, passed_over) = read_bytes(lines.join("\n").as_bytes());
    assert_eq!(entries.len(), 2);
    assert_eq!(
        passed_over.warnings(),
        [
            "5 lines are no event record: the first is events.jsonl:3",
            "1 line is longer than 1024 KiB: events.jsonl:14",
            "2 lines are of a newer schema than 1, which this version of weir cannot read: the first is events.jsonl:7",
            "4 lines are no valid record of schema 1: the first is events.jsonl:9",
            "1 line is cut off at the end of a file: events.jsonl:16",
        ]
    );
}

#[test]
fn a_text_that_is_no_utf_8_costs_the_text_alone() {
    let line = with("/process/comm", json!("n#e")).into_bytes();
    let at = line.windows(3).position(|part| part == b"n#e").unwrap();
    let broken = [&line[..=at], b"\xff\xfe", &line[at + 2..]].concat();
    let (entries, passed_over) = read_bytes(&broken);
    assert_eq!(passed_over, PassedOver::default());
    assert_eq!(entries[0].record.process.as_ref().unwrap().comm, "n\u{fffd}\u{fffd}e");
}

#[test]
fn lines_may_end_as_on_other_systems() {
    let (entries, passed_over) =
        read_bytes(format!("\u{feff}{0}\r\n\r\n{0}\r\n", value()).as_bytes());
    assert_eq!((entries.len(), passed_over), (2, PassedOver::default()));
}

#[test]
fn files_are_read_in_their_order_and_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Vec::new();
    for (name, kind, count) in [("a", "violation", 1), ("b", "flow", 9)] {
        let path = folder.path().join(name);
        let mut record = value();
        record["kind"] = json!(kind);
        record["count"] = json!(count);
        writeln!(std::fs::File::create(&path).unwrap(), "{record}").unwrap();
        sources.push(Source::from(path));
    }
    let mut seen = Vec::new();
    read(&sources, |entry| seen.push((entry.record.kind, entry.fresh))).unwrap();
    assert_eq!(seen, [(Kind::Violation, 1), (Kind::Flow, 8)]);
    for missing in [folder.path().join("none"), folder.path().to_owned()] {
        let error = read(&[Source::from(missing.clone())], drop).unwrap_err();
        assert_eq!(error.to_string(), format!("reading event records from {}", missing.display()));
    }
    assert_eq!(Source::from(std::path::PathBuf::from("-")), Source::Stdin);
}

proptest::proptest! {
    #[test]
    fn no_input_is_too_odd(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let (entries, _) = read_bytes(&bytes);
        assert!(entries.is_empty());
    }
}
