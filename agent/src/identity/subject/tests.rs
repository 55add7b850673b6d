//! Pods of nobody's, and those whose job is known late.

use super::*;
use crate::containerd::sandbox_in;

const TRUST: config::Gitlab = config::Gitlab { trust_annotations: true, trust_labels: true };

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn facts(labels: &[(&str, &str)]) -> PodFacts {
    let owner = Owner { kind: "Job".to_owned(), name: "nightly".to_owned() };
    PodFacts { labels: map(labels), annotations: BTreeMap::new(), owner: Some(owner) }
}

#[test]
fn a_plain_pod_has_labels_and_then_an_owner() {
    let labels = map(&[("team", "x"), ("io.kubernetes.pod.uid", "1")]);
    let mut info = of_sandbox(&Sandbox { labels, ..sandbox_in("ci") }, TRUST);
    assert!(is_plain(&info));
    assert_eq!(info.pod.as_ref().unwrap().labels, map(&[("team", "x")]));
    complete(&mut info, &facts(&[("team", "y")]));
    let pod = info.pod.unwrap();
    assert_eq!((pod.labels, pod.owner.unwrap().name), (map(&[("team", "y")]), "nightly".into()));
}

#[test]
fn the_job_of_a_ci_pod_is_what_its_maker_wrote_and_stays() {
    let labels = map(&[("project.runner.gitlab.com/id", "42")]);
    let mut info = of_sandbox(&Sandbox { labels, ..sandbox_in("ci") }, TRUST);
    assert!(!is_plain(&info) && info.pod.as_ref().unwrap().labels.is_empty());
    complete(&mut info, &facts(&[("project.runner.gitlab.com/id", "43")]));
    assert_eq!(info.gitlab.unwrap().project_id, Some(42));
    assert_eq!(info.pod.unwrap().owner, None);
}

#[test]
fn a_job_that_is_known_late_is_a_claim() {
    let mut info = of_sandbox(&sandbox_in("ci"), TRUST);
    let mut late = facts(&[("project.runner.gitlab.com/id", "42")]);
    late.annotations = map(&[("job.runner.gitlab.com/id", "7")]);
    complete(&mut info, &late);
    let job = info.gitlab.unwrap();
    assert_eq!((job.project_id, job.job_id), (Some(42), Some(7)));
    assert_eq!(job.untrusted, ["job_id", "project_id"]);
}

#[test]
fn a_pod_with_a_thousand_labels_is_no_long_record() {
    let labels = (0..1000).map(|number| (format!("l{number}"), String::new())).collect();
    let info = of_sandbox(&Sandbox { labels, ..sandbox_in("ci") }, TRUST);
    assert_eq!(info.pod.unwrap().labels.len(), LABELS);
}
