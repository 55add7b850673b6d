//! How errors look.

use std::io::Write as _;

use super::accepted::with_spec;
use crate::policy::*;

fn message(text: &str) -> String {
    Profile::from_yaml("profile.yaml", text).unwrap_err().to_string()
}

#[test]
fn an_error_shows_its_place() {
    let spec = "allow:\n  - id: registry\n    domain: [a.example.com]";
    assert_eq!(
        message(&with_spec(spec)),
        "profile.yaml:7:7: unknown field `domain` in allow rule `registry`; did you mean `domains`?
  |
7 |       domain: [a.example.com]
  |       ^^^^^^"
    );
}

#[test]
fn all_errors_come_in_the_order_of_the_file() {
    let text = with_spec("inbound: [nod]\nallow: [{ id: a, domains: [a..b, c..d] }]\nmode: x");
    let message = message(&text);
    let places: Vec<_> = message.lines().filter(|line| line.starts_with("profile.yaml:")).collect();
    assert_eq!(places.len(), 4);
    let heads =
        ["profile.yaml:5:13:", "profile.yaml:6:30:", "profile.yaml:6:36:", "profile.yaml:7:9:"];
    for (place, head) in places.iter().zip(heads) {
        assert!(place.starts_with(head), "{place}");
    }
}

#[test]
fn many_errors_are_counted_and_the_first_are_shown() {
    let domains = vec!["a..b"; 5000].join(", ");
    let message =
        message(&with_spec(&format!("allow: [{{ id: a, domains: [{domains}] }}]\nmode: x")));
    assert_eq!(message.lines().filter(|line| line.starts_with("profile.yaml:5:")).count(), 20);
    assert!(message.ends_with("\nprofile.yaml: and 4981 more errors"), "{message}");
    assert!(message.len() < 20_000);
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let names: Vec<_> = (0..500).map(|n| format!("h{n}.b")).collect();
    let spec = format!("allow: [{{ id: a, domains: [{}, 'a..b'] }}]", names.join(","));
    let message = message(&with_spec(&spec));
    let last = message.lines().next_back().unwrap();
    let text = message.lines().rev().nth(1).unwrap();
    assert!(last.chars().count() < 120 && text.chars().count() < 120, "{message}");
    let caret = last.chars().position(|c| c == '^').unwrap();
    assert_eq!(text.chars().nth(caret), Some('\''));
}

#[test]
fn text_of_the_file_cannot_restyle_a_terminal() {
    let text = with_spec("\"a\\e[31m\\u202e\": 1");
    let found = message(&text);
    assert!(found.starts_with("profile.yaml:5:3: unknown field `a\\u{1b}[31m\\u{202e}` in `spec`"));
    let found = message(&with_spec("mode: 'x\u{9b}31m\u{202e}'"));
    assert!(!found.contains(['\u{9b}', '\u{202e}']), "{found:?}");
    let name = "a\u{1b}[2J.yaml";
    let found = Profile::from_yaml(name, "").unwrap_err().to_string();
    assert!(found.starts_with("a\\u{1b}[2J.yaml:1:1:"), "{found}");
}

#[test]
fn columns_are_characters() {
    let found = message(&with_spec("'äöü': 1"));
    assert!(found.ends_with("5 |   'äöü': 1\n  |   ^^^^^"), "{found}");
}

#[test]
fn a_file_that_is_no_text_or_not_there_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"a: b\nc: \xff\n").unwrap();
    let error = Profile::from_file(file.path()).unwrap_err().to_string();
    let path = file.path().display();
    assert_eq!(error, format!("{path}:2: the file is not UTF-8 text"));
    let error = Profile::from_file("/nonexistent/profile.yaml".as_ref()).unwrap_err();
    let expected =
        "reading profile /nonexistent/profile.yaml: No such file or directory (os error 2)";
    assert_eq!(Chain(&error).to_string(), expected);
}
