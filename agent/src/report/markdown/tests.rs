//! Read by a parser of Markdown: the numbers are there, and text is nothing but code.

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::json;

use super::*;
use crate::report::tests::{flow, reported, with};

/// The rows of all tables, each cell as its text.
fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut is_in_cell = false;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_GFM) {
        match event {
            Event::Start(Tag::TableRow | Tag::TableHead) => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => {
                is_in_cell = true;
                rows.last_mut().unwrap().push(String::new());
            }
            Event::End(TagEnd::TableCell) => is_in_cell = false,
            Event::Code(part) | Event::Text(part) if is_in_cell => {
                rows.last_mut().unwrap().last_mut().unwrap().push_str(&part);
            }
            _ => {}
        }
    }
    rows
}

#[test]
fn the_numbers_are_those_of_the_records() {
    let report = reported(&[
        with(&[]),
        flow("block", 5, 0, 0),
        flow("audit", 2, 20, 200),
        flow("allow", 3, 100, 3000),
    ]);
    let rows = rows(&page(&report));
    let has = |expected: &[&str]| assert!(rows.iter().any(|row| row == expected), "{rows:?}");
    has(&["refused", "audited", "allowed", "sent", "received"]);
    has(&["5", "2", "3", "120 B", "3.1 KiB"]);
    has(&[
        "project 42 (says: group/app), install (the job's word)",
        "collector.example.net",
        "443/tcp",
        "refused",
        "domain_not_in_allowlist",
        "node",
        "5",
        "1",
        "2026-11-22T09:02:11Z",
    ]);
    has(&["domain_not_in_allowlist", "5", "2"]);
    has(&["collector.example.net", "443/tcp", "5", "2", "3", "120 B", "3.1 KiB"]);
    has(&["node", "5", "2", "3", "120 B", "3.1 KiB"]);
}

#[test]
fn what_is_missing_is_said() {
    let lost = with(&[("/kind", json!("lost")), ("/verdict", json!(null)), ("/count", json!(7))]);
    let mut report = reported(&[lost]);
    report.warn(vec!["a `b` | @c".to_owned()]);
    let text = page(&report);
    assert!(text.contains("> Warning: `` a `b` \\u{7c} @c ``\n"), "{text}");
    assert!(text.contains("weir could not record 7 events"), "{text}");
    assert_eq!(text.matches("Nothing.").count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn hostile_text_is_code_and_nothing_else(
        hostile in prop_oneof![
            "\\PC{0,40}",
            "[`|\\\\ <>&\\[\\]()!*_~#@:/a-z\n\u{1b}\u{0}]{0,40}",
        ],
    ) {
        let mut record = with(&[]);
        for pointer in ["/process/comm", "/destination/host", "/gitlab/job_name", "/gitlab/project"] {
            *record.pointer_mut(pointer).unwrap() = json!(hostile);
        }
        let text = page(&reported(&[record]));
        let harmless = Parser::new_ext(&text, Options::all()).all(|event| match event {
            Event::Start(tag) => matches!(
                tag,
                Tag::Heading { .. } | Tag::Paragraph | Tag::Table(_) | Tag::TableHead | Tag::TableRow | Tag::TableCell
            ),
            Event::End(_) | Event::Text(_) | Event::Code(_) | Event::SoftBreak => true,
            _ => false,
        });
        prop_assert!(harmless, "{}", text);
        let shown = super::super::text::short(&hostile).replace('|', "\\u{7c}");
        let shown = if shown.is_empty() { "-".to_owned() } else { shown };
        let rows = rows(&text);
        // Spaces at both ends are a code span's own.
        let found = rows.iter().any(|row| row.len() == 9 && row[5].trim() == shown.trim() && row[1].trim() == shown.trim());
        prop_assert!(found, "{:?}\n{:?}\n{}", shown, rows, text);
    }
}
