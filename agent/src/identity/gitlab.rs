//! Pods of GitLab Runner: which project, and which job.
//!
//! The Kubernetes executor writes labels and annotations on the pods that it makes (`buildLabels` and
//! `buildPodAnnotations` of its `kubernetes.go`). A job cannot set or change a label below `runner.gitlab.com`. The
//! annotations are GitLab's own words too, unless the runner lets jobs overwrite them
//! (`pod_annotations_overwrite_allowed`), and what is expanded from `CI_*` variables is what the job says.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{config, events::record::GitlabInfo};

#[cfg(test)]
mod tests;

/// A label since GitLab Runner 17.9, an annotation since 15.9.
const PROJECT_ID: &str = "project.runner.gitlab.com/id";
/// Annotations since GitLab Runner 15.9.
const JOB_ID: &str = "job.runner.gitlab.com/id";
const JOB_NAME: &str = "job.runner.gitlab.com/name";
const JOB_REF: &str = "job.runner.gitlab.com/ref";
const JOB_URL: &str = "job.runner.gitlab.com/url";
/// An annotation that the runner has no name for: its configuration writes it from `$CI_PIPELINE_ID`.
const PIPELINE_ID: &str = "weir.dev/gitlab-pipeline-id";
/// A label of the pods that keep nodes warm and run no job.
const PAUSE_POD: &str = "runner.gitlab.com/pause-pod";

/// The longest text that is taken over, in bytes; longer than any that GitLab makes.
const TEXT_BYTES: usize = 2048;

/// What the annotations of a runner's pods are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Annotations {
    /// No runner of the cluster lets jobs overwrite them.
    Trusted,
    /// A job may have written them.
    Untrusted,
}

impl From<config::Gitlab> for Annotations {
    fn from(config: config::Gitlab) -> Self {
        if config.trust_annotations { Self::Trusted } else { Self::Untrusted }
    }
}

/// The job of a pod, if a GitLab Runner made it.
#[must_use]
pub fn job(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    worth: Annotations,
) -> Option<GitlabInfo> {
    if labels.contains_key(PAUSE_POD) {
        return None;
    }
    let text = |name: &str| annotations.get(name).filter(|text| text.len() <= TEXT_BYTES).cloned();
    let number = |name: &str| annotations.get(name).and_then(|text| id(text));
    let label = labels.get(PROJECT_ID).and_then(|text| id(text));
    let job_url = text(JOB_URL).filter(|url| project_path(url).is_some());
    let told = GitlabInfo {
        project: job_url.as_deref().and_then(project_path).map(str::to_owned),
        project_id: label.or(number(PROJECT_ID)),
        pipeline_id: number(PIPELINE_ID),
        job_id: number(JOB_ID),
        job_name: text(JOB_NAME),
        reference: text(JOB_REF),
        job_url,
        untrusted: Vec::new(),
    };
    // Of another project than the label says, they are not the runner's.
    let contradicted = label.zip(number(PROJECT_ID)).is_some_and(|(label, other)| label != other);
    let worth = if contradicted { Annotations::Untrusted } else { worth };
    let untrusted = untrusted(&told, label.is_some(), worth);
    let is_a_runners = told.project_id.is_some() || told.job_id.is_some();
    is_a_runners.then_some(GitlabInfo { untrusted, ..told })
}

/// Whether a GitLab Runner made the pod, as far as that can be told: it bears a name of the runner's, which a job that
/// may overwrite what stands there can empty of sense and not take away.
#[must_use]
pub fn is_runners(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> bool {
    let mut names = labels.keys().chain(annotations.keys());
    names.any(|name| name.split_once('/').is_some_and(|(prefix, _)| is_runners_prefix(prefix)))
}

/// Whether names with this prefix are the runner's own.
pub(crate) fn is_runners_prefix(prefix: &str) -> bool {
    const OWN: &str = "runner.gitlab.com";
    prefix.strip_suffix(OWN).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The names of those fields that the job could have set.
fn untrusted(told: &GitlabInfo, has_label: bool, worth: Annotations) -> Vec<Cow<'static, str>> {
    let is_claim = worth == Annotations::Untrusted;
    let fields = [
        ("project", told.project.is_some() && is_claim),
        ("project_id", told.project_id.is_some() && is_claim && !has_label),
        // A variable of the job's, whoever may overwrite what.
        ("pipeline_id", told.pipeline_id.is_some()),
        ("job_id", told.job_id.is_some() && is_claim),
        ("job_name", told.job_name.is_some() && is_claim),
        ("ref", told.reference.is_some() && is_claim),
        ("job_url", told.job_url.is_some() && is_claim),
    ];
    let claims = fields.into_iter().filter_map(|(name, is_claim)| is_claim.then_some(name));
    claims.map(Cow::Borrowed).collect()
}

/// An id, in the one form in which GitLab writes it.
fn id(text: &str) -> Option<u64> {
    let number = text.parse().ok()?;
    (number > 0 && text == u64::to_string(&number)).then_some(number)
}

/// The path of the project in a link to a job: `https://HOST/GROUP/PROJECT/-/jobs/ID`. Where GitLab has a path of its
/// own on its host (a relative URL root), that comes first.
fn project_path(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (host, rest) = rest.split_once('/')?;
    let (path, number) = rest.split_once("/-/jobs/")?;
    let is_part = |part: &str| {
        let is_of_a_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        part.bytes().any(|byte| byte != b'.') && part.bytes().all(is_of_a_path)
    };
    let is_path = path.contains('/') && path.split('/').all(is_part);
    (!host.is_empty() && is_path && id(number).is_some()).then_some(path)
}
