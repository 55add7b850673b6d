//! What is known of a pod, as far as no job could have set it: this alone decides who gets which profile.

use std::collections::BTreeMap;

use super::{github, gitlab};
use crate::{config, containerd::Sandbox};

#[cfg(test)]
mod tests;

/// Facts about a pod that its job could not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// The Kubernetes namespace.
    pub namespace: Option<String>,
    /// Labels; none of a pod whose job may have written them.
    pub labels: BTreeMap<String, String>,
    /// What GitLab Runner says of the job.
    pub gitlab: GitlabTraits,
    /// What GitHub's runner controller says of the runner.
    pub github: GithubTraits,
}

/// What GitLab Runner says of a job, as far as the job could not say it in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitlabTraits {
    /// The project's id, in decimal digits.
    pub project_id: Option<String>,
    /// Its path.
    pub project: Option<String>,
    /// Branch or tag.
    pub reference: Option<String>,
}

/// Where a runner is registered; which repository's job it will run is not known when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GithubTraits {
    /// The repository, `owner/name`.
    pub repository: Option<String>,
    /// The organization.
    pub organization: Option<String>,
    /// The runner scale set.
    pub scale_set: Option<String>,
}

impl Traits {
    /// Those of a sandbox's pod.
    #[must_use]
    pub fn of(sandbox: &Sandbox, trust: config::Gitlab) -> Self {
        let job = gitlab::job(&sandbox.labels, &sandbox.annotations, trust.into());
        let is_gitlabs = gitlab::is_runners(&sandbox.labels, &sandbox.annotations);
        let gitlab = job.map(|job| {
            let sure = |name: &str| job.untrusted.iter().all(|untrusted| untrusted != name);
            GitlabTraits {
                project_id: job.project_id.filter(|_| sure("project_id")).map(|id| id.to_string()),
                project: job.project.clone().filter(|_| sure("project")),
                reference: job.reference.clone().filter(|_| sure("ref")),
            }
        });
        let runner = github::runner(&sandbox.labels);
        let runner = runner.filter(|_| !is_gitlabs).map(|runner| GithubTraits {
            repository: runner.repository,
            organization: runner.organization,
            scale_set: Some(runner.scale_set),
        });
        let labels = if is_gitlabs && !trust.trust_labels {
            BTreeMap::new()
        } else {
            sandbox.labels.clone()
        };
        Self {
            namespace: Some(sandbox.pod.namespace.clone()),
            labels,
            gitlab: gitlab.unwrap_or_default(),
            github: runner.unwrap_or_default(),
        }
    }
}
