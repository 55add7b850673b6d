//! Every way to write a list, and that nothing but the addition changes.

use super::*;
use crate::yaml::{Value, parse};

/// Adds a rule `new` to `spec.allow` and compares the whole text.
#[track_caller]
fn check(text: &str, expected: &str) {
    let found = tail(text, "spec", "allow").unwrap();
    let (end, is_map) = match &found {
        Tail::List(end) => (end, false),
        Tail::Map(end) => (end, true),
    };
    let spaces = " ".repeat(end.indent);
    let entry = match end.style {
        Style::Block => "- new",
        Style::Flow => "new,",
    };
    let lines = match (is_map, end.style) {
        (false, _) => format!("{spaces}# why\n{spaces}{entry}\n"),
        (true, Style::Block) => format!("{spaces}allow:\n{spaces}  {entry}\n"),
        (true, Style::Flow) => format!("{spaces}allow: [\n{spaces}  {entry}\n{spaces}],\n"),
    };
    let written = end.insert(text, &lines);
    assert_eq!(written, expected);
    let Value::Map(entries) = parse(&written, "file").unwrap().unwrap().value else { panic!() };
    let spec = entries.into_iter().find(|(key, _)| key.text == "spec").unwrap().1;
    let Value::Map(entries) = spec.value else { panic!("{written}") };
    let allow = entries.into_iter().find(|(key, _)| key.text == "allow").unwrap().1;
    let Value::List(items) = allow.value else { panic!("{written}") };
    let last = items.last().map(|item| &item.value);
    assert!(matches!(last, Some(Value::Scalar(text)) if text.text == "new"), "{written}");
}

#[test]
fn a_list_in_lines_goes_on_in_lines() {
    check(
        "spec:\n  allow:\n    - a   # first\n    # old\n  deny: {}\n",
        "spec:\n  allow:\n    - a   # first\n    # why\n    - new\n    # old\n  deny: {}\n",
    );
    check(
        "spec:\n  allow:\n  - id: a\n    ports: [1]\nx: 1",
        "spec:\n  allow:\n  - id: a\n    ports: [1]\n  # why\n  - new\nx: 1",
    );
    check("spec:\n  allow:\n    - a", "spec:\n  allow:\n    - a\n    # why\n    - new\n");
    check(
        "spec:\n  allow:\n    - |\n      a\n\n\nx: 1\n",
        "spec:\n  allow:\n    - |\n      a\n    # why\n    - new\n\n\nx: 1\n",
    );
    check("spec:\r\n  allow:\r\n  - a\r\n", "spec:\r\n  allow:\r\n  - a\r\n  # why\r\n  - new\r\n");
}

#[test]
fn an_empty_list_becomes_one_in_lines() {
    check(
        "spec:\n  allow: []  # none yet\n  mode: audit\n",
        "spec:\n  allow:  # none yet\n    # why\n    - new\n  mode: audit\n",
    );
    check("spec:\n  allow: [\n  ]\n", "spec:\n  allow:\n    # why\n    - new\n");
}

#[test]
fn a_list_between_brackets_stays_there() {
    check("spec:\n  allow: [a, b]\n", "spec:\n  allow: [a, b,\n      # why\n      new,\n    ]\n");
    check(
        "spec:\n  allow: [\n    a,\n    b # last, of two\n   ]\n",
        "spec:\n  allow: [\n    a,\n    b, # last, of two\n      # why\n      new,\n   ]\n",
    );
    check(
        "spec:\n  allow: [\n    a, # and\n    ] # end\n",
        "spec:\n  allow: [\n    a, # and\n      # why\n      new,\n    ] # end\n",
    );
    check("spec: { allow: [] }", "spec: { allow: [\n    # why\n    new,\n  ] }");
}

#[test]
fn a_list_that_is_not_there_is_begun() {
    check("spec:\n  mode: audit\n# end\n", "spec:\n  mode: audit\n  allow:\n    - new\n# end\n");
    check("spec: {}\n", "spec: {\n    allow: [\n      new,\n    ],\n  }\n");
    check(
        "spec: { mode: audit }\n",
        "spec: { mode: audit,\n    allow: [\n      new,\n    ],\n  }\n",
    );
}

#[test]
fn keys_of_that_name_elsewhere_are_others() {
    check(
        "allow: [x]\nmeta:\n  allow: [y]\nspec:\n  deny:\n    allow: [z]\n  allow: [a]\n  x: { allow: [] }\n",
        "allow: [x]\nmeta:\n  allow: [y]\nspec:\n  deny:\n    allow: [z]\n  allow: [a,\n      # why\n      new,\n    ]\n  x: { allow: [] }\n",
    );
    assert_eq!(tail("- spec: { allow: [] }\n", "spec", "allow"), None);
    assert_eq!(tail("allow: []\n", "spec", "allow"), None);
    assert_eq!(tail("spec: [", "spec", "allow"), None);
}
