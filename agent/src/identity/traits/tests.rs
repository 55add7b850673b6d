//! What is believed of a pod, and what is not.

use super::*;
use crate::containerd::sandbox_in;

const NONE: config::Gitlab = config::Gitlab { trust_annotations: false, trust_labels: false };
const ALL: config::Gitlab = config::Gitlab { trust_annotations: true, trust_labels: true };

fn sandbox(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Sandbox {
    let map = |entries: &[(&str, &str)]| {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    Sandbox { labels: map(labels), annotations: map(annotations), ..sandbox_in("ci") }
}

fn runners_pod() -> Sandbox {
    sandbox(
        &[("project.runner.gitlab.com/id", "42"), ("team", "payments")],
        &[
            ("job.runner.gitlab.com/id", "7"),
            ("job.runner.gitlab.com/ref", "main"),
            ("job.runner.gitlab.com/url", "https://gitlab.example.com/fintech/app/-/jobs/7"),
            ("project.runner.gitlab.com/id", "42"),
        ],
    )
}

#[test]
fn only_what_no_job_can_set_is_a_trait() {
    let traits = Traits::of(&runners_pod(), NONE);
    let id = Some("42".to_owned());
    assert_eq!(traits.gitlab, GitlabTraits { project_id: id.clone(), ..GitlabTraits::default() });
    assert_eq!((traits.namespace.as_deref(), traits.labels.len()), (Some("ci"), 0));
    let traits = Traits::of(&runners_pod(), ALL);
    let (project, reference) = (Some("fintech/app".to_owned()), Some("main".to_owned()));
    assert_eq!(traits.gitlab, GitlabTraits { project_id: id, project, reference });
    assert_eq!(traits.labels.get("team").map(String::as_str), Some("payments"));
}

#[test]
fn an_id_that_only_an_annotation_has_is_none() {
    let old =
        sandbox(&[], &[("project.runner.gitlab.com/id", "42"), ("job.runner.gitlab.com/id", "7")]);
    assert_eq!(Traits::of(&old, NONE).gitlab, GitlabTraits::default());
    assert_eq!(Traits::of(&old, ALL).gitlab.project_id.as_deref(), Some("42"));
}

#[test]
fn labels_of_a_pod_without_a_gitlab_job_are_its_own() {
    let plain = sandbox(&[("team", "payments")], &[]);
    assert_eq!(Traits::of(&plain, NONE).labels.len(), 1);
}

#[test]
fn a_job_that_empties_what_its_runner_wrote_wins_no_trust() {
    let labels = [
        ("team", "payments"),
        ("app.kubernetes.io/component", "runner"),
        ("actions.github.com/scale-set-name", "set"),
    ];
    // As old runners write them, overwritten by the job.
    let emptied = [("job.runner.gitlab.com/id", "x"), ("project.runner.gitlab.com/id", "")];
    let traits = Traits::of(&sandbox(&labels, &emptied), NONE);
    assert_eq!((traits.labels.len(), traits.github), (0, GithubTraits::default()));
    let strangers = [("job.runner.gitlab.com.example.com/id", "1"), ("xrunner.gitlab.com/id", "1")];
    assert_eq!(Traits::of(&sandbox(&labels, &strangers), NONE).labels.len(), 3);
}

#[test]
fn a_pod_of_both_platforms_is_gitlabs() {
    let github = [
        ("app.kubernetes.io/component", "runner"),
        ("actions.github.com/scale-set-name", "set"),
        ("actions.github.com/organization", "fintech"),
    ];
    let traits = Traits::of(&sandbox(&github, &[]), NONE);
    assert_eq!(traits.github.organization.as_deref(), Some("fintech"));
    let both = [&github[..], &[("project.runner.gitlab.com/id", "42")]].concat();
    let traits = Traits::of(&sandbox(&both, &[]), NONE);
    assert_eq!(traits.github, GithubTraits::default());
    assert_eq!(traits.gitlab.project_id.as_deref(), Some("42"));
}
