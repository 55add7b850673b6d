//! `spec.select` and `spec.include`, as typed.

use super::super::problem::Problems;
use super::super::raw::{RawCondition, RawSelect};
use super::super::selector::Fact;
use crate::yaml::{Field, Node, entries, fields, text, text_or_texts};

/// Reads who gets the profile.
pub(super) fn select<'a>(field: Field<'a>, problems: &mut Problems) -> Option<RawSelect<'a>> {
    let found_before = problems.len();
    let span = field.key.span;
    let mut raw = RawSelect { span, is_whole: false, conditions: Vec::new(), labels: None };
    let keys = ["gitlab", "github", "namespaces", "podLabels"];
    let [gitlab, github, namespaces, labels] = fields(field.node, "`select`", keys, 0, problems)?;
    let mut found: Vec<(Fact, Option<Field<'a>>)> = Vec::new();
    if let Some(field) = gitlab {
        let keys = ["project", "projectId", "group", "refs"];
        let [project, id, group, refs] = fields(field.node, "`select.gitlab`", keys, 0, problems)?;
        found.extend([
            (Fact::GitlabProject, project),
            (Fact::GitlabProjectId, id),
            (Fact::GitlabGroup, group),
            (Fact::GitlabRef, refs),
        ]);
    }
    if let Some(field) = github {
        let keys = ["repository", "organization", "scaleSet"];
        let [repository, organization, scale_set] =
            fields(field.node, "`select.github`", keys, 0, problems)?;
        found.extend([
            (Fact::GithubRepository, repository),
            (Fact::GithubOrganization, organization),
            (Fact::GithubScaleSet, scale_set),
        ]);
    }
    found.push((Fact::Namespace, namespaces));
    for (fact, field) in found {
        let Some(field) = field else { continue };
        let what = format!("`select.{}`", fact.key());
        let any_of = text_or_texts(field.node, &what, problems);
        raw.conditions.push(RawCondition { fact, span: field.key.span, any_of });
    }
    if let Some(field) = labels {
        let what = "`select.podLabels`";
        let pairs = entries(field.node, what, problems).into_iter();
        let read = |(name, node): (_, Node<'a>)| Some((name, text(node, what, problems)?));
        raw.labels = Some((field.key.span, pairs.filter_map(read).collect()));
    }
    // A mistyped key is one mistake, not two.
    raw.is_whole = problems.len() == found_before;
    Some(raw)
}
