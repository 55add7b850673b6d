//! Compiles `spec.select`, and refuses what no pod can meet.

use std::collections::BTreeMap;

use super::unique::Unique;
use crate::identity::gitlab::is_runners_prefix;
use crate::policy::glob::{Case, Glob, GlobError};
use crate::policy::problem::{Problem, Problems};
use crate::policy::raw::{RawCondition, RawSelect};
use crate::policy::selector::{Condition, Fact, Selector};
use crate::yaml::{Span, Text, shown};

/// Compiles the conditions.
pub(super) fn selector(raw: &RawSelect<'_>, problems: &mut Problems) -> Selector {
    let conditions: Vec<Condition> =
        raw.conditions.iter().map(|raw| condition(raw, problems)).collect();
    let labels = raw.labels.as_ref().map(|(span, pairs)| labels(*span, pairs, problems));
    if raw.is_whole {
        if raw.conditions.is_empty() && raw.labels.is_none() {
            problems.push(raw.span, Problem::SelectsNobody("`select` is empty"));
        }
        contradictions(raw, &conditions, problems);
    }
    Selector { conditions, labels: labels.unwrap_or_default() }
}

fn condition(raw: &RawCondition<'_>, problems: &mut Problems) -> Condition {
    let what = || format!("`select.{}`", raw.fact.key());
    if raw.any_of.is_empty() {
        problems
            .push(raw.span, Problem::SelectsNobody("a condition lists nothing that could meet it"));
    }
    let mut unique = Unique::default();
    let mut any_of = Vec::new();
    for Text { text, span } in &raw.any_of {
        match pattern(raw.fact, text) {
            Ok(pattern) if unique.check(pattern.clone(), *span, text, what, problems) => {
                any_of.push(pattern);
            }
            Ok(_) => {}
            Err(expected) => {
                let (what, text) = (what(), shown(text));
                problems.push(*span, Problem::Pattern { what, text, expected });
            }
        }
    }
    Condition { fact: raw.fact, any_of }
}

/// A pattern, or what is expected in its place.
fn pattern(fact: Fact, text: &str) -> Result<Glob, String> {
    let words = |error: GlobError| error.to_string();
    match fact {
        Fact::GitlabProjectId => {
            let is_id = text.parse::<u64>().is_ok_and(|id| id > 0 && id.to_string() == text);
            if !is_id {
                return Err("expected the number that GitLab gives a project".to_owned());
            }
            Glob::parse(text, Case::Kept).map_err(words)
        }
        Fact::GitlabProject | Fact::GithubRepository if !text.contains('/') => {
            Err("expected a path with its group or owner: `group/app`, `group/*`, `group/**`"
                .to_owned())
        }
        Fact::GitlabRef | Fact::Namespace => Glob::parse(text, Case::Kept).map_err(words),
        _ => Glob::parse(text, Case::Folded).map_err(words),
    }
}

fn labels(
    span: Span,
    pairs: &[(Text<'_>, Text<'_>)],
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    if pairs.is_empty() {
        problems.push(span, Problem::SelectsNobody("`select.podLabels` is empty"));
    }
    let mut labels = BTreeMap::new();
    for (name, value) in pairs {
        let prefix = name.text.split_once('/').map_or("", |(prefix, _)| prefix);
        // What they tell is asked for by `gitlab`, as far as no job can set it.
        if is_runners_prefix(prefix) {
            problems.push(name.span, Problem::RunnersLabel(shown(&name.text)));
        }
        labels.insert(name.text.to_string(), value.text.to_string());
    }
    labels
}

/// Conditions of which no pod can meet both.
fn contradictions(raw: &RawSelect<'_>, conditions: &[Condition], problems: &mut Problems) {
    let find = |fact| conditions.iter().find(|condition| condition.fact == fact);
    let has = |facts: &[Fact]| facts.iter().any(|fact| find(*fact).is_some());
    let gitlab = [Fact::GitlabProject, Fact::GitlabProjectId, Fact::GitlabGroup];
    let github = [Fact::GithubRepository, Fact::GithubOrganization, Fact::GithubScaleSet];
    let mut refuse = |why| problems.push(raw.span, Problem::SelectsNobody(why));
    let has_ref = find(Fact::GitlabRef).is_some();
    if has_ref && !has(&gitlab) {
        refuse(
            "`gitlab.refs` narrows a project, and none is named; add `gitlab.group` or `gitlab.project`",
        );
    }
    if has(&github) && (has_ref || has(&gitlab)) {
        refuse("no pod is both GitLab's and GitHub's");
    }
    if let (Some(projects), Some(groups)) = (find(Fact::GitlabProject), find(Fact::GitlabGroup)) {
        let is_in = |project: &Glob| {
            let text = project.to_string();
            !project.is_exact()
                || text
                    .match_indices('/')
                    .filter_map(|(at, _)| text.get(..at))
                    .any(|group| groups.any_of.iter().any(|pattern| pattern.matches(group)))
        };
        if !projects.any_of.is_empty() && !projects.any_of.iter().any(is_in) {
            refuse("no project of `gitlab.project` is in a group of `gitlab.group`");
        }
    }
}
