//! Selectors and includes that are refused, with the place and the message.

use super::refused::check;
use crate::policy::{PolicyError, Profile, Source};

use super::accepted::with_spec;

#[test]
fn a_selector_that_selects_nobody_is_refused() {
    let nobody = |spec: &str, column, why: &str| {
        check(spec, 5, column, &format!("this selects nobody: {why}"));
    };
    nobody("select: {}", 3, "`select` is empty");
    nobody("select: { gitlab: {} }", 3, "`select` is empty");
    nobody("select: { podLabels: {} }", 13, "`select.podLabels` is empty");
    let lists = "a condition lists nothing that could meet it";
    nobody("select: { namespaces: [] }", 13, lists);
    let refs = "`gitlab.refs` narrows a project, and none is named; add `gitlab.group` or `gitlab.project`";
    nobody("select: { gitlab: { refs: main } }", 3, refs);
    let both = "no pod is both GitLab's and GitHub's";
    nobody("select: { gitlab: { group: a }, github: { scaleSet: b } }", 3, both);
    let group = "no project of `gitlab.project` is in a group of `gitlab.group`";
    nobody("select: { gitlab: { project: a/b/c, group: b } }", 3, group);
}

#[test]
fn values_that_nothing_could_match_are_refused() {
    let value = |spec: &str, column, what: &str, why: &str| {
        check(spec, 5, column, &format!("`select.{what}` cannot be matched: {why}"));
    };
    let path = "expected a path with its group or owner: `group/app`, `group/*`, `group/**`";
    value("select: { gitlab: { project: app } }", 32, "gitlab.project`: `app", path);
    value("select: { github: { repository: \"*\" } }", 35, "github.repository`: `*", path);
    let id = "expected the number that GitLab gives a project";
    for text in ["0", "x", "007", "-1"] {
        let spec = format!("select: {{ gitlab: {{ projectId: \"{text}\" }} }}");
        value(&spec, 34, &format!("gitlab.projectId`: `{text}"), id);
    }
    let slash = "a slash stands between two parts: `a/b`";
    value("select: { gitlab: { group: a/ } }", 30, "gitlab.group`: `a/", slash);
    let label = "select: { podLabels: { project.runner.gitlab.com/id: \"42\" } }";
    let own = "`project.runner.gitlab.com/id` is GitLab Runner's own label; select by `gitlab.projectId`, `gitlab.project` or `gitlab.group`";
    check(label, 5, 26, own);
    let twice = "duplicate entry `main` in `select.gitlab.refs`; it was first given in line 5";
    check("select: { gitlab: { group: a, refs: [main, main] } }", 5, 46, twice);
    let key = "unknown field `projects` in `select.gitlab`; did you mean `project`?";
    check("select: { gitlab: { projects: [a/b] } }", 5, 23, key);
}

#[test]
fn an_include_names_other_profiles_once() {
    check("include: [test]", 5, 13, "`include`: `test` is not the name of another profile");
    check("include: [\"a b\"]", 5, 13, "`include`: `a b` is not the name of another profile");
    let twice = "duplicate entry `a` in `include`; it was first given in line 5";
    check("include: [a, a]", 5, 16, twice);
    let many: Vec<_> = (0..65).map(|number| format!("p{number}")).collect();
    let spec = format!("include: [{}]", many.join(", "));
    let problems = super::refused::problems(&with_spec(&spec));
    assert_eq!(problems[0].2, "`include`: 65 are too many, the most is 64");
}

#[test]
fn a_file_that_includes_others_is_no_profile_by_itself() {
    let text = with_spec("include: [other]");
    let error = Profile::from_yaml("test.yaml", &text).unwrap_err();
    assert!(matches!(error, PolicyError::Includes { .. }), "{error}");
    let document = Source::from_text("test.yaml", text).unwrap().read().unwrap();
    assert_eq!(document.include(), ["other"]);
}
