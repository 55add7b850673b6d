//! The table against a matcher that is as plain as the reference's sentence.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// "`*` is one label, `**` is one or more", label by label.
fn matches(pattern: &DomainPattern, name: &HostName) -> bool {
    let pattern_labels: Vec<_> = pattern.name.as_str().split('.').collect();
    let labels: Vec<_> = name.as_str().split('.').collect();
    let Some(extra) = labels.len().checked_sub(pattern_labels.len()) else { return false };
    let enough = match pattern.scope {
        Scope::Exact => extra == 0,
        Scope::OneLabel => extra == 1,
        Scope::AnyLabels => extra >= 1,
    };
    enough && labels[extra..] == pattern_labels
}

/// How narrow a pattern is: an exact name, then one label, then the longest suffix.
fn narrowness(pattern: &DomainPattern) -> (u8, u32) {
    let scope = match pattern.scope {
        Scope::Exact => 2,
        Scope::OneLabel => 1,
        Scope::AnyLabels => 0,
    };
    (scope, label_count(pattern.name.as_str()))
}

/// For each rule that covers the name, its narrowest pattern.
fn naive(patterns: &[(u16, DomainPattern)], name: &HostName) -> BTreeMap<u16, DomainPattern> {
    let mut best: BTreeMap<u16, DomainPattern> = BTreeMap::new();
    for (rule, pattern) in patterns.iter().filter(|(_, pattern)| matches(pattern, name)) {
        match best.get(rule) {
            Some(known) if narrowness(known) >= narrowness(pattern) => {}
            _ => {
                best.insert(*rule, pattern.clone());
            }
        }
    }
    best
}

fn build(patterns: &[(u16, DomainPattern)]) -> Result<NameTable, TooManyRules> {
    let mut builder = NameTableBuilder::default();
    for (rule, pattern) in patterns {
        builder.add(pattern, RuleIndex(*rule));
    }
    builder.build()
}

fn answer(table: &NameTable, name: &HostName) -> BTreeMap<u16, DomainPattern> {
    let hits = table.find(name).unwrap_or_default();
    let found: BTreeMap<_, _> = hits
        .iter()
        .map(|hit| {
            let exact = || DomainPattern { scope: Scope::Exact, name: name.clone() };
            let wildcard = hit.wildcard.map(|index| table.wildcard(index).unwrap().clone());
            (hit.rule.0, wildcard.unwrap_or_else(exact))
        })
        .collect();
    assert_eq!(found.len(), hits.len(), "a rule stands twice in {hits:?}");
    found
}

fn pattern(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

#[track_caller]
fn check(patterns: &[&str], name: &str, expected: bool) {
    let patterns: Vec<_> = patterns.iter().map(|text| (0, pattern(text))).collect();
    let name = HostName::parse(name).unwrap();
    assert_eq!(build(&patterns).unwrap().find(&name).is_some(), expected, "{name}");
}

#[test]
fn an_exact_name_is_itself_only() {
    check(&["a.example.com"], "a.example.com", true);
    check(&["a.example.com"], "b.a.example.com", false);
    check(&["a.example.com"], "example.com", false);
    check(&["a.example.com"], "aa.example.com", false);
    check(&["a.example.com"], "a.example.com.evil.test", false);
}

#[test]
fn one_star_is_one_label() {
    check(&["*.example.com"], "a.example.com", true);
    check(&["*.example.com"], "a.b.example.com", false);
    check(&["*.example.com"], "example.com", false);
    check(&["*.example.com"], "aexample.com", false);
}

#[test]
fn two_stars_are_one_or_more_labels() {
    check(&["**.example.com"], "a.example.com", true);
    check(&["**.example.com"], "a.b.c.d.example.com", true);
    check(&["**.example.com"], "example.com", false);
    check(&["**.example.com"], "a.example.com.test", false);
    check(&["**.b.example.com", "**.example.com"], "a.c.example.com", true);
}

#[test]
fn the_longest_name_finds_the_widest_wildcard() {
    let name = format!("{}.a.b", ["x"; 124].join("."));
    check(&["**.a.b"], &name, true);
    check(&["**.x.a.b"], &name, true);
    let (_, parent) = name.split_once('.').unwrap();
    check(&[&format!("**.{parent}")], &name, true);
    check(&[&format!("*.{parent}")], &name, true);
}

#[test]
fn more_rules_over_one_name_than_the_limit_are_refused() {
    let patterns: Vec<_> = (0..33).map(|rule| (rule, pattern("**.example.com"))).collect();
    assert!(build(&patterns[..32]).is_ok());
    let error = build(&patterns).unwrap_err();
    assert_eq!((error.pattern.to_string(), error.count), ("**.example.com".to_owned(), 33));
}

#[test]
fn names_of_one_rule_share_one_list() {
    let patterns: Vec<_> = (0..1000).map(|n| (7, pattern(&format!("h{n}.example.com")))).collect();
    assert_eq!(build(&patterns).unwrap().lists.len(), 1);
}

/// Few labels, so that patterns and names meet often.
fn name(labels: std::ops::Range<usize>) -> impl Strategy<Value = HostName> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), labels)
        .prop_map(|labels| HostName::parse(&labels.join(".")).unwrap())
}

fn any_pattern() -> impl Strategy<Value = DomainPattern> {
    let scope = prop::sample::select(vec![Scope::Exact, Scope::OneLabel, Scope::AnyLabels]);
    (scope, name(2..5)).prop_map(|(scope, name)| DomainPattern { scope, name })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_equals_the_naive_matcher(
        patterns in prop::collection::vec((0u16..4, any_pattern()), 0..30),
        names in prop::collection::vec(name(1..7), 1..30),
    ) {
        let table = build(&patterns).unwrap();
        for name in names {
            prop_assert_eq!(answer(&table, &name), naive(&patterns, &name), "{}", name);
        }
    }
}
