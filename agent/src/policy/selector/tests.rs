//! Who is selected, and which of two selectors is the narrower one.

use super::*;
use crate::policy::Source;
use crate::policy::tests::with_spec;

fn selector(select: &str) -> Selector {
    let text = with_spec(&format!("select: {{ {select} }}"));
    let document = Source::from_text("test", text).unwrap().read().unwrap();
    document.select().unwrap().clone()
}

fn job(project: &str, reference: &str) -> Traits {
    let mut traits = Traits { namespace: Some("ci".to_owned()), ..Traits::default() };
    traits.gitlab.project_id = Some("42".to_owned());
    traits.gitlab.project = Some(project.to_owned());
    traits.gitlab.reference = Some(reference.to_owned());
    traits
}

fn rank(select: &str, traits: &Traits) -> Rank {
    selector(select).judge(traits).unwrap_or_else(|mismatch| panic!("{select}: {mismatch}"))
}

fn mismatch(select: &str, traits: &Traits) -> String {
    selector(select).judge(traits).unwrap_err().to_string()
}

#[test]
fn all_conditions_must_hold_and_one_entry_of_each() {
    let traits = job("fintech/core/payments-api", "main");
    for select in [
        "gitlab: { project: Fintech/core/Payments-API }",
        "gitlab: { project: [a/b, \"fintech/**\"], refs: [\"release/*\", main] }",
        "gitlab: { projectId: 42 }, namespaces: [ci]",
        "gitlab: { group: fintech }",
        "gitlab: { group: fintech/core, refs: main }",
        "namespaces: [\"c*\"]",
    ] {
        rank(select, &traits);
    }
    let said = |select| mismatch(select, &traits);
    let project = "gitlab.project `fintech/*`, and it has `fintech/core/payments-api`";
    assert_eq!(said("gitlab: { project: fintech/* }"), project);
    assert_eq!(
        said("gitlab: { projectId: 42, refs: dev }"),
        "gitlab.refs `dev`, and it has `main`"
    );
    assert_eq!(
        said("gitlab: { projectId: 42 }, namespaces: [cd, old]"),
        "namespaces `cd` or `old`, and it has `ci`"
    );
    let group = "gitlab.group `core`, and it has `fintech/core/payments-api`";
    assert_eq!(said("gitlab: { group: core }"), group);
    assert_eq!(said("podLabels: { team: payments }"), "podLabels.team `payments`, and it has none");
    assert_eq!(
        said("github: { organization: fintech }"),
        "github.organization `fintech`, and it has none"
    );
}

#[test]
fn a_project_is_not_a_group_of_itself() {
    mismatch("gitlab: { group: fintech/app }", &job("fintech/app", "main"));
    mismatch("gitlab: { group: fin }", &job("fintech/app", "main"));
}

#[test]
fn the_narrowest_comes_first() {
    let mut traits = job("fintech/core/payments-api", "main");
    traits.labels.insert("team".to_owned(), "payments".to_owned());
    let in_order = [
        "gitlab: { projectId: 42, project: fintech/core/payments-api, refs: main }",
        "gitlab: { project: fintech/core/payments-api, refs: main }",
        "gitlab: { project: fintech/core/payments-api }",
        "gitlab: { project: fintech/core/payments-* }",
        "gitlab: { project: \"fintech/**\", refs: main }, namespaces: [ci]",
        "gitlab: { project: \"fintech/**\" }",
        "gitlab: { group: fintech/core }",
        "gitlab: { group: fintech, refs: main }",
        "gitlab: { group: fintech }",
        "podLabels: { team: payments }, namespaces: [ci]",
        "podLabels: { team: payments }",
        "namespaces: [ci]",
        "namespaces: [\"c*\"]",
        "namespaces: [\"*\"]",
    ];
    let ranks: Vec<_> = in_order.iter().map(|select| rank(select, &traits)).collect();
    for (at, pair) in ranks.windows(2).enumerate() {
        assert!(pair[0] > pair[1], "{} against {}", in_order[at], in_order[at + 1]);
    }
    assert_eq!(Rank::of_namespace("ci", &traits).unwrap(), rank("namespaces: [ci]", &traits));
}

#[test]
fn runners_of_github_are_known_by_where_they_are_registered() {
    let mut traits = Traits::default();
    traits.github.repository = Some("fintech/payments".to_owned());
    traits.github.organization = Some("fintech".to_owned());
    traits.github.scale_set = Some("linux-large".to_owned());
    let repository = rank("github: { repository: Fintech/payments }", &traits);
    let organization = rank("github: { organization: fintech, scaleSet: \"linux-*\" }", &traits);
    assert_eq!((repository.level, organization.level), (Level::Project, Level::Group));
    mismatch("gitlab: { projectId: 42 }", &traits);
}

#[test]
fn what_only_annotations_tell_is_known() {
    for (select, fact) in [
        ("gitlab: { projectId: 42 }", None),
        ("gitlab: { projectId: 42, refs: main }", Some(Fact::GitlabRef)),
        ("gitlab: { project: a/b }", Some(Fact::GitlabProject)),
        ("gitlab: { group: a }", Some(Fact::GitlabGroup)),
        ("namespaces: [ci]", None),
    ] {
        assert_eq!(selector(select).needs_annotations(), fact, "{select}");
    }
}
