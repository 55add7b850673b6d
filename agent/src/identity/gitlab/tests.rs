//! Pods as several versions of GitLab Runner write them, and as they must not.

use proptest::prelude::*;

use super::*;

const URL: &str = "https://gitlab.example.com/fintech-nl/core/payments-api/-/jobs/388420";

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Annotations since 15.9.
fn annotations() -> BTreeMap<String, String> {
    map(&[
        ("job.runner.gitlab.com/before_sha", "0000000000000000000000000000000000000000"),
        ("job.runner.gitlab.com/id", "388420"),
        ("job.runner.gitlab.com/name", "install: [node, 22]"),
        ("job.runner.gitlab.com/ref", "feature/lock"),
        ("job.runner.gitlab.com/sha", "1f2a3b4c5d6e7f8091a2b3c4d5e6f70812345678"),
        ("job.runner.gitlab.com/url", URL),
        ("project.runner.gitlab.com/id", "42"),
    ])
}

/// Labels since 17.9.
fn labels() -> BTreeMap<String, String> {
    map(&[
        ("job.runner.gitlab.com/pod", "runner-abc-project-42-concurrent-0"),
        ("manager.runner.gitlab.com/id-short", "abc"),
        ("manager.runner.gitlab.com/name", "shared-1"),
        ("pod", "runner-abc-project-42-concurrent-0"),
        ("project.runner.gitlab.com/id", "42"),
        ("project.runner.gitlab.com/name", "payments-api"),
        ("project.runner.gitlab.com/namespace", "fintech-nl_core"),
        ("project.runner.gitlab.com/namespace-id", "7"),
        ("project.runner.gitlab.com/root-namespace", "fintech-nl"),
    ])
}

fn told() -> GitlabInfo {
    GitlabInfo {
        project: Some("fintech-nl/core/payments-api".to_owned()),
        project_id: Some(42),
        pipeline_id: None,
        job_id: Some(388_420),
        job_name: Some("install: [node, 22]".to_owned()),
        reference: Some("feature/lock".to_owned()),
        job_url: Some(URL.to_owned()),
        untrusted: Vec::new(),
    }
}

#[test]
fn a_pod_of_a_runner_since_17_9_is_known_by_its_labels() {
    let found = job(&labels(), &annotations(), Annotations::Trusted);
    assert_eq!(found, Some(told()));
    let claims = ["project", "job_id", "job_name", "ref", "job_url"];
    let found = job(&labels(), &annotations(), Annotations::Untrusted);
    assert_eq!(found, Some(GitlabInfo { untrusted: claims.map(Cow::Borrowed).to_vec(), ..told() }));
    // And by nothing else where there is nothing else.
    let found = job(&labels(), &BTreeMap::new(), Annotations::Untrusted).unwrap();
    assert_eq!((found.project_id, found.job_id, found.untrusted), (Some(42), None, Vec::new()));
}

#[test]
fn a_pod_of_an_older_runner_is_known_by_its_annotations_alone() {
    let labels = map(&[("pod", "runner-abc-project-42-concurrent-0")]);
    assert_eq!(job(&labels, &annotations(), Annotations::Trusted), Some(told()));
    let claims = ["project", "project_id", "job_id", "job_name", "ref", "job_url"];
    let found = job(&labels, &annotations(), Annotations::Untrusted);
    assert_eq!(found, Some(GitlabInfo { untrusted: claims.map(Cow::Borrowed).to_vec(), ..told() }));
}

#[test]
fn a_pipeline_is_what_the_job_says() {
    let mut annotations = annotations();
    annotations.insert(PIPELINE_ID.to_owned(), "99".to_owned());
    let found = job(&labels(), &annotations, Annotations::Trusted).unwrap();
    assert_eq!(
        (found.pipeline_id, found.untrusted),
        (Some(99), vec![Cow::Borrowed("pipeline_id")])
    );
}

#[test]
fn annotations_of_another_project_than_the_label_says_are_claims() {
    let mut annotations = annotations();
    annotations.insert(PROJECT_ID.to_owned(), "43".to_owned());
    let found = job(&labels(), &annotations, Annotations::Trusted).unwrap();
    assert_eq!(found.project_id, Some(42));
    assert_eq!(found.untrusted, ["project", "job_id", "job_name", "ref", "job_url"]);
}

#[test]
fn other_pods_have_no_job() {
    let none = BTreeMap::new();
    assert_eq!(job(&none, &none, Annotations::Trusted), None);
    assert_eq!(job(&map(&[("app", "db")]), &none, Annotations::Trusted), None);
    let mut labels = labels();
    labels.insert(PAUSE_POD.to_owned(), "true".to_owned());
    assert_eq!(job(&labels, &none, Annotations::Trusted), None);
}

#[test]
fn ids_have_one_form() {
    assert_eq!((id("42"), id("18446744073709551615")), (Some(42), Some(u64::MAX)));
    for text in ["", "0", "042", "+42", "-42", " 42", "42 ", "4_2", "18446744073709551616", "x"] {
        assert_eq!(id(text), None, "{text:?}");
    }
}

#[test]
fn a_link_that_is_none_to_a_job_names_no_project() {
    assert_eq!(project_path(URL), Some("fintech-nl/core/payments-api"));
    assert_eq!(project_path("http://[2001:db8::1]:8080/a/b.c/-/jobs/1"), Some("a/b.c"));
    for url in [
        "",
        "https://gitlab.example.com/",
        "https:///a/b/-/jobs/1",
        "https://gitlab.example.com/project/-/jobs/1",
        "https://gitlab.example.com/a//b/-/jobs/1",
        "https://gitlab.example.com/a/../b/-/jobs/1",
        "https://gitlab.example.com/a/b/-/jobs/",
        "https://gitlab.example.com/a/b/-/jobs/1/raw",
        "https://gitlab.example.com/a/b/-/pipelines/1",
        "https://gitlab.example.com/a/b/-/jobs/1/-/jobs/2",
        "https://gitlab.example.com/a\u{1b}[2J/b/-/jobs/1",
        "javascript://gitlab.example.com/a/b/-/jobs/1",
    ] {
        assert_eq!(project_path(url), None, "{url:?}");
        let mut annotations = annotations();
        annotations.insert(JOB_URL.to_owned(), url.to_owned());
        let found = job(&labels(), &annotations, Annotations::Trusted).unwrap();
        assert_eq!((found.project, found.job_url), (None, None), "{url:?}");
    }
}

#[test]
fn what_is_too_long_is_left_out() {
    let mut annotations = annotations();
    annotations.insert(JOB_NAME.to_owned(), "x".repeat(TEXT_BYTES + 1));
    let found = job(&labels(), &annotations, Annotations::Trusted).unwrap();
    assert_eq!((found.job_name, found.reference), (None, Some("feature/lock".to_owned())));
}

proptest! {
    #[test]
    fn no_text_makes_more_than_it_says(label in ".*", annotation in ".*", url in ".*/-/jobs/[0-9]*") {
        let mut annotations = annotations();
        annotations.insert(JOB_ID.to_owned(), annotation.clone());
        annotations.insert(JOB_URL.to_owned(), url);
        let found = job(&map(&[(PROJECT_ID, &label)]), &annotations, Annotations::Untrusted).unwrap();
        let written = |number: Option<u64>, text: &str| number.is_none_or(|number| number.to_string() == text);
        prop_assert!(written(found.job_id, &annotation), "{:?}", found);
        prop_assert!(found.project_id == Some(42) || written(found.project_id, &label), "{:?}", found);
    }
}
