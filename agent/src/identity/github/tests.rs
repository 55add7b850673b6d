//! Pods as the controller writes them.

use super::*;

fn labels(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let runners = [
        ("app.kubernetes.io/part-of", "gha-runner-scale-set"),
        ("app.kubernetes.io/component", "runner"),
        ("actions.github.com/scale-set-name", "linux-large"),
        ("actions.github.com/scale-set-namespace", "arc-runners"),
        ("actions-ephemeral-runner", "True"),
        ("pod-template-hash", "5b6c7d8e9f"),
    ];
    let all = runners.iter().chain(entries);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_set_is_registered_for_a_repository_an_organization_or_an_enterprise() {
    let told = |entries: &[(&str, &str)]| {
        let info = runner(&labels(entries)).unwrap();
        assert_eq!(info.scale_set, "linux-large");
        (info.enterprise, info.organization, info.repository)
    };
    let text = |text: &str| Some(text.to_owned());
    let (enterprise, organization) = ((ENTERPRISE, "example"), (ORGANIZATION, "fintech"));
    let repository = (REPOSITORY, "payments");
    assert_eq!(told(&[enterprise]), (text("example"), None, None));
    assert_eq!(told(&[organization]), (None, text("fintech"), None));
    assert_eq!(
        told(&[organization, repository]),
        (None, text("fintech"), text("fintech/payments"))
    );
    // A name without an owner may be anybody's.
    assert_eq!(told(&[repository]), (None, None, None));
}

#[test]
fn half_a_name_is_none() {
    let trimmed = format!("{}-trim", "a".repeat(58));
    assert_eq!(trimmed.len(), 63);
    let info = runner(&labels(&[(ORGANIZATION, &trimmed), (REPOSITORY, "payments")])).unwrap();
    assert_eq!((info.organization, info.repository), (None, None));
    let info = runner(&labels(&[(ORGANIZATION, "x-trim")])).unwrap();
    assert_eq!(info.organization.as_deref(), Some("x-trim"));
}

#[test]
fn other_pods_are_no_runners() {
    assert_eq!(runner(&BTreeMap::new()), None);
    let listener = labels(&[("app.kubernetes.io/component", "runner-scale-set-listener")]);
    assert_eq!(runner(&listener), None);
    let mut unnamed = labels(&[]);
    unnamed.remove(SCALE_SET);
    assert_eq!(runner(&unnamed), None);
}
