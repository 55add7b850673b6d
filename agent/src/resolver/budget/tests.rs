//! Counting names.

use super::super::testing::{PROFILE, profile};
use super::*;
use crate::policy::NameDecision;

fn charge(budget: &mut Budget, profile: &Arc<Profile>, name: &str) -> Result<(), RuleIndex> {
    let name = HostName::parse(name).unwrap();
    let NameDecision::Allowed(grants) = profile.decide_name(&name) else { panic!("{name:?}") };
    budget.charge(profile, &name, &grants)
}

#[test]
fn each_name_counts_once() {
    let (mut budget, profile) = (Budget::default(), profile(PROFILE));
    for name in ["a", "b", "a", "c", "c", "b"] {
        assert_eq!(charge(&mut budget, &profile, &format!("{name}.cdn.example.com")), Ok(()));
    }
    assert!(charge(&mut budget, &profile, "d.cdn.example.com").is_err());
    assert_eq!(charge(&mut budget, &profile, "a.cdn.example.com"), Ok(()), "still known");
}

#[test]
fn a_name_listed_by_itself_costs_nothing() {
    let text = PROFILE.replace("inside.example.com", "a.cdn.example.com");
    let (mut budget, profile) = (Budget::default(), profile(&text));
    for name in ["a", "b", "c", "d"] {
        assert_eq!(charge(&mut budget, &profile, &format!("{name}.cdn.example.com")), Ok(()));
    }
}

#[test]
fn wildcards_have_budgets_of_their_own() {
    let text = PROFILE.replace("inside.example.com", "*.inside.example.com");
    let (mut budget, profile) = (Budget::default(), profile(&text));
    for zone in ["cdn", "inside"] {
        for name in ["a", "b", "c"] {
            let name = format!("{name}.{zone}.example.com");
            assert_eq!(charge(&mut budget, &profile, &name), Ok(()));
        }
        assert!(charge(&mut budget, &profile, &format!("d.{zone}.example.com")).is_err());
    }
}

#[test]
fn a_refused_name_is_not_counted_anywhere() {
    // Both wildcards grant names below `cdn`, and one of them is used up by others.
    let text = PROFILE.replace("inside.example.com", "**.example.com");
    let (mut budget, profile) = (Budget::default(), profile(&text));
    for name in ["x", "y", "z"] {
        assert_eq!(charge(&mut budget, &profile, &format!("{name}.other.example.com")), Ok(()));
    }
    for name in ["a", "b", "c", "d"] {
        assert!(charge(&mut budget, &profile, &format!("{name}.cdn.example.com")).is_err());
    }
    assert!(budget.names.values().all(|names| names.len() <= 3));
    assert_eq!(budget.names.len(), 1);
}

#[test]
fn a_new_policy_starts_anew() {
    let mut budget = Budget::default();
    for _ in 0..2 {
        let profile = profile(PROFILE);
        for name in ["a", "b", "c"] {
            assert_eq!(charge(&mut budget, &profile, &format!("{name}.cdn.example.com")), Ok(()));
        }
    }
}
