//! Pods of GitHub's Actions Runner Controller (runner scale sets): where the runner is registered.
//!
//! The controller writes labels on the pods of its runners (`resourcebuilder.go` of `controllers/actions.github.com`). They
//! say for what the scale set is registered. Whose job the runner gets is not known before it is assigned one.

use std::collections::BTreeMap;

use crate::events::record::GithubInfo;

#[cfg(test)]
mod tests;

/// The label that tells runners from the controller's other pods.
const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "runner");
const SCALE_SET: &str = "actions.github.com/scale-set-name";
const ENTERPRISE: &str = "actions.github.com/enterprise";
/// The owner, also of a repository that a set is registered for.
const ORGANIZATION: &str = "actions.github.com/organization";
/// The repository's name, without its owner.
const REPOSITORY: &str = "actions.github.com/repository";

/// What the controller ends a value with that is too long for a label: only its beginning is told.
const TRIMMED: &str = "-trim";
/// The longest value of a label.
const LABEL_BYTES: usize = 63;

/// The runner of a pod, if the controller made it.
#[must_use]
pub fn runner(labels: &BTreeMap<String, String>) -> Option<GithubInfo> {
    let (component, runner) = COMPONENT;
    if labels.get(component).is_none_or(|value| value != runner) {
        return None;
    }
    let text = |name: &str| {
        let is_whole = |text: &&String| {
            !(text.is_empty() || (text.len() == LABEL_BYTES && text.ends_with(TRIMMED)))
        };
        labels.get(name).filter(is_whole).cloned()
    };
    let organization = text(ORGANIZATION);
    let repository = organization.clone().zip(text(REPOSITORY));
    Some(GithubInfo {
        scale_set: labels.get(SCALE_SET)?.clone(),
        enterprise: text(ENTERPRISE),
        organization,
        repository: repository.map(|(owner, name)| format!("{owner}/{name}")),
    })
}
