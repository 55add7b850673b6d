//! The page holds the numbers, and of hostile text nothing but the text.

use serde_json::json;

use super::*;
use crate::report::tests::{flow, reported, with};

/// What no text of a record may bring into the page.
const MARKUP: [&str; 6] =
    ["<script", "<img", "<a href=\"javascript", "onerror=\"", "style=\"", "\u{1b}"];

/// How often a tag is opened and closed.
fn tags(page: &str, tag: &str) -> (usize, usize) {
    (page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count())
}

#[test]
fn the_page_needs_nothing_else() {
    let page = page(&reported(&[flow("allow", 1, 10, 20), with(&[])]));
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
    for forbidden in ["<script", "src=", "url(", "@import", "<link", "<iframe", "<form", "style=\""]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("content=\"default-src &#39;none&#39;; style-src &#39;sha256-"));
    for tag in
        ["section", "table", "tr>", "tbody", "svg", "g>", "dl", "div", "details", "p>", "data "]
    {
        let (opened, closed) = tags(&page, tag);
        let closed = if tag.ends_with(['>', ' ']) {
            tags(&page, tag.trim_end_matches(['>', ' '])).1
        } else {
            closed
        };
        if !matches!(tag, "tr>" | "p>") {
            assert_eq!(opened, closed, "{tag}");
        }
    }
}

#[test]
fn the_numbers_are_those_of_the_records() {
    let page = page(&reported(&[
        with(&[]),
        flow("block", 5, 0, 0),
        flow("audit", 2, 20, 200),
        flow("allow", 3, 100, 3000),
    ]));
    for expected in [
        "<data id=\"total-refused\" value=\"5\">5</data> <span>destinations: 1</span>",
        "<data id=\"total-audited\" value=\"2\">2</data>",
        "<data id=\"total-allowed\" value=\"3\">3</data>",
        "<data id=\"total-sent\" value=\"120\">120 B</data>",
        "<data id=\"total-received\" value=\"3200\">3.1 KiB</data>",
        "<td>collector.example.net</td><td class=\"word\">443/tcp</td><td class=\"word\">refused</td>\
         <td class=\"word\">domain_not_in_allowlist</td><td>node</td>\
         <td class=\"number\">5</td>",
        "<th scope=\"row\">node</th><td class=\"number\">5</td><td class=\"number\">2</td><td class=\"number\">3</td>",
        ": 5 refused, 2 audited</title>",
        ": 3 allowed</title>",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
}

#[test]
fn warnings_and_losses_stand_at_the_top() {
    let lost = with(&[("/kind", json!("lost")), ("/verdict", json!(null)), ("/count", json!(7))]);
    let mut report = reported(&[lost]);
    report.warn(vec!["1 line is no event record: <b>:1".to_owned()]);
    let page = page(&report);
    let (head, _) = page.split_once("<main>").unwrap();
    assert!(head.contains("</strong> 1 line is no event record: &lt;b&gt;:1</p>"), "{head}");
    assert!(head.contains("weir could not record 7 events"), "{head}");
}

#[test]
fn no_more_rows_than_anybody_reads() {
    let records: Vec<_> = (0..300)
        .map(|n| {
            let mut record = flow("block", 1, 1, 1);
            record["destination"]["host"] = json!(format!("h{n}.example.com"));
            record["process"]["comm"] = json!(format!("p{n}"));
            record
        })
        .collect();
    let page = page(&reported(&records));
    assert_eq!(page.matches("<tr><th scope=\"row\">project 42").count(), 200);
    assert!(page.contains("And 100 more."), "{page}");
    assert_eq!(page.matches("And 275 more.").count(), 2);
}

#[test]
fn hostile_text_stays_text() {
    let long = "\u{1f600}<script>".repeat(8 * 1024);
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=\"alert(1)\">",
        "'-alert(1)-' & &lt;script&gt;",
        "\u{1b}[31m\n\r\u{9b}2J\u{202e}\u{0}",
        "]]></style><script>alert(1)</script><!--",
        "javascript:alert(1)",
        long.as_str(),
    ] {
        let mut record = with(&[("/gitlab/untrusted", json!([]))]);
        for pointer in [
            "/node",
            "/process/comm",
            "/destination/host",
            "/destination/proto",
            "/gitlab/project",
            "/gitlab/job_name",
            "/gitlab/job_url",
            "/pod/namespace",
            "/pod/uid",
        ] {
            *record.pointer_mut(pointer).unwrap() = json!(hostile);
        }
        let mut pod_only = record.clone();
        pod_only["gitlab"] = json!(null);
        let mut machine = pod_only.clone();
        machine["pod"] = json!(null);
        let page = page(&reported(&[record, pod_only, machine]));
        for markup in MARKUP {
            assert!(!page.contains(markup), "{markup}: {page}");
        }
        assert!(!page.contains("<a "), "{page}");
        assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "{page:?}");
        assert!(page.len() < 40 * 1024, "{} bytes", page.len());
    }
}

#[test]
fn a_link_is_one_only_by_gitlabs_word() {
    let link = "<a rel=\"noreferrer noopener\" href=\"https://gitlab.example.com/group/app/-/jobs/388420\">1</a>";
    let trusted = page(&reported(&[with(&[("/gitlab/untrusted", json!([]))])]));
    assert!(trusted.contains(link), "{trusted}");
    assert!(!page(&reported(&[with(&[])])).contains("<a "));
}
