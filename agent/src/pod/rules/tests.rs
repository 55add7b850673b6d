//! A number is named by the profile that gave it.

use std::sync::Arc;

use super::{ProfileHistory, number};
use crate::policy::{Profile, Provenance, RuleIndex};

fn profile(name: &str, rules: &[&str]) -> Arc<Provenance> {
    let rules: Vec<String> = rules
        .iter()
        .map(|id| format!("    - {{ id: {id}, domains: [{id}.example.com] }}\n"))
        .collect();
    let rules = rules.concat();
    let text = format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: {name} }}\nspec:\n  allow:\n{rules}"
    );
    Arc::clone(Profile::from_yaml("test.yaml", &text).unwrap().provenance())
}

#[test]
fn a_rule_keeps_its_name_when_the_order_changes() {
    let mut history = ProfileHistory::default();
    history.remember(1, profile("old", &["one", "two"]));
    let two = number(1, RuleIndex(1));
    history.remember(2, profile("new", &["two", "one"]));

    let (by, rule) = history.find(two).unwrap();
    assert_eq!((by.profile(), by.rule_id(rule)), ("old", "two"));
    let (by, rule) = history.find(number(2, RuleIndex(1))).unwrap();
    assert_eq!((by.profile(), by.rule_id(rule)), ("new", "one"));
}

#[test]
fn what_no_rule_allows_has_a_number_too() {
    let mut history = ProfileHistory::default();
    history.remember(0x0002_0007, profile("later", &["one"]));
    let (_, rule) = history.find(number(0x0002_0007, RuleIndex::DEFAULT_DENY)).unwrap();
    assert_eq!(rule, RuleIndex::DEFAULT_DENY);
}

#[test]
fn a_generation_that_never_was_has_no_profile() {
    assert!(ProfileHistory::default().find(number(3, RuleIndex(0))).is_none());
}
