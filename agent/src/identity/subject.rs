//! Whom a pod's records are of: what containerd was told of it, and what the API server adds.

use std::collections::BTreeMap;

use super::{
    github,
    gitlab::{self, Annotations},
};
use crate::{
    config,
    containerd::Sandbox,
    events::record::{OwnerInfo, PodInfo},
    kubernetes::{Owner, PodFacts},
    pod::subject::SubjectInfo,
};

#[cfg(test)]
mod tests;

/// Labels that records tell of one pod.
const LABELS: usize = 64;
/// Begins the labels that the kubelet adds for the runtime alone.
const KUBELETS: &str = "io.kubernetes.";

/// What a sandbox says of its pod.
#[must_use]
pub fn of_sandbox(sandbox: &Sandbox, trust: config::Gitlab) -> SubjectInfo {
    let gitlab = gitlab::job(&sandbox.labels, &sandbox.annotations, trust.into());
    let github = github::runner(&sandbox.labels);
    let is_plain = gitlab.is_none() && github.is_none();
    let pod = PodInfo {
        namespace: sandbox.pod.namespace.clone(),
        name: sandbox.pod.name.clone(),
        uid: sandbox.pod.uid.clone(),
        labels: if is_plain { told(&sandbox.labels) } else { BTreeMap::new() },
        owner: None,
    };
    SubjectInfo { pod: Some(pod), gitlab, github }
}

/// Whether the API server could add anything: the jobs of CI systems are known by what is written on their pods.
#[must_use]
pub const fn is_plain(info: &SubjectInfo) -> bool {
    info.gitlab.is_none() && info.github.is_none()
}

/// Adds what the API server says of the pod.
pub fn complete(info: &mut SubjectInfo, facts: &PodFacts) {
    if !is_plain(info) {
        return;
    }
    // What is written on a pod that runs may be the work of whoever runs in it: a claim at best, labels included.
    info.gitlab = gitlab::job(&facts.labels, &facts.annotations, Annotations::Untrusted);
    if let Some(job) = &mut info.gitlab
        && job.project_id.is_some()
        && !job.untrusted.iter().any(|name| name == "project_id")
    {
        job.untrusted.push("project_id".into());
    }
    let is_plain = is_plain(info);
    let Some(pod) = &mut info.pod else { return };
    pod.labels = if is_plain { told(&facts.labels) } else { BTreeMap::new() };
    let owner = facts.owner.as_ref().filter(|_| is_plain);
    pod.owner =
        owner.map(|Owner { kind, name }| OwnerInfo { kind: kind.clone(), name: name.clone() });
}

fn told(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let told = labels.iter().filter(|(name, _)| !name.starts_with(KUBELETS));
    told.take(LABELS).map(|(name, value)| (name.clone(), value.clone())).collect()
}
