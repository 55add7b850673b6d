//! Bundles from folders, good and bad.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::UNIX_EPOCH;

use super::*;
use crate::containerd::sandbox_in;
use crate::policy::Chain;

fn profile(name: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: {name} }}\nspec: {{}}\n"
    )
}

fn settings(dir: &Path, default: &str, namespaces: &[(&str, &str)]) -> config::Policy {
    let namespaces = namespaces.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    config::Policy { dir: dir.to_owned(), default: default.to_owned(), namespaces }
}

fn error(policy: &config::Policy) -> String {
    Chain(&Bundle::load(policy).unwrap_err()).to_string()
}

#[test]
fn a_pod_gets_the_profile_of_its_namespace_or_the_default() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), profile("build/node")).unwrap();
    fs::write(dir.path().join("b.yaml"), profile("deploy")).unwrap();
    fs::write(dir.path().join("notes.txt"), "no profile").unwrap();
    fs::write(dir.path().join(".hidden.yaml"), "no profile").unwrap();
    let policy = settings(dir.path(), "build/node", &[("cd", "deploy"), ("old", "deny-all")]);
    let bundle = Bundle::load(&policy).unwrap();
    let name = |namespace| bundle.profile_for(&sandbox_in(namespace)).name().to_owned();
    assert_eq!(
        (name("ci"), name("cd"), name("old")),
        ("build/node".into(), "deploy".into(), "deny-all".into())
    );
    let names: Vec<_> = bundle.profiles().map(|profile| profile.name()).collect();
    assert_eq!(names, ["build/node", "deny-all", "deploy"]);
    assert!(bundle.profile("deploy").is_some() && bundle.profile("notes").is_none());
    assert_eq!(sandbox_in("ci").created, UNIX_EPOCH);
}

#[test]
fn one_bad_file_refuses_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), profile("good")).unwrap();
    fs::write(dir.path().join("b.yaml"), profile("bad").replace("spec: {}", "spec: { alow: [] }"))
        .unwrap();
    let message = error(&settings(dir.path(), "good", &[]));
    let place = format!(
        "{}:4:9: unknown field `alow` in `spec`; did you mean `allow`?",
        dir.path().join("b.yaml").display()
    );
    assert!(message.starts_with(&place), "{message}");
}

#[test]
fn names_are_unique_and_lead_somewhere() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("b.yaml"), profile("one")).unwrap();
    let unknown = error(&settings(dir.path(), "two", &[]));
    assert!(
        unknown.starts_with("`policy.default` names the profile `two`, which no file in "),
        "{unknown}"
    );
    let unknown = error(&settings(dir.path(), "one", &[("ci", "two")]));
    assert!(unknown.starts_with("`policy.namespaces.ci` names the profile `two`"), "{unknown}");
    fs::write(dir.path().join("a.yaml"), profile("one")).unwrap();
    let twice = error(&settings(dir.path(), "one", &[]));
    assert!(
        twice.contains("a.yaml and ") && twice.contains("b.yaml both name their profile `one`"),
        "{twice}"
    );
    fs::write(dir.path().join("a.yaml"), profile("deny-all")).unwrap();
    assert!(error(&settings(dir.path(), "one", &[])).contains("a.yaml: the name `deny-all`"));
    fs::create_dir(dir.path().join("0.yaml")).unwrap();
    assert!(error(&settings(dir.path(), "one", &[])).contains("Is a directory"));
    assert!(error(&settings(&dir.path().join("none"), "one", &[])).contains("No such file"));
}

#[test]
fn the_digest_is_of_what_is_said_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, name: &str| fs::write(dir.path().join(file), profile(name)).unwrap();
    let load = |default: &str, namespaces: &[(&str, &str)]| {
        Bundle::load(&settings(dir.path(), default, namespaces)).unwrap().digest().to_owned()
    };
    write("a.yaml", "one");
    write("b.yaml", "two");
    let first = load("one", &[]);
    assert!(first.starts_with("sha256:") && first.len() == 71);
    // Other file names, other order of reading: the same.
    write("a.yaml", "two");
    write("b.yaml", "one");
    assert_eq!(load("one", &[]), first);
    // Another default, a namespace, one byte of a file: another.
    let mut seen = vec![first.clone(), load("two", &[]), load("one", &[("ci", "two")])];
    fs::write(dir.path().join("b.yaml"), profile("one") + "#").unwrap();
    seen.push(load("one", &[]));
    seen.push(Bundle::deny_all().digest().to_owned());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[test]
fn a_config_map_is_read_through_its_current_version() {
    let dir = tempfile::tempdir().unwrap();
    for (version, name) in [("..1", "old"), ("..2", "new")] {
        fs::create_dir(dir.path().join(version)).unwrap();
        fs::write(dir.path().join(version).join("a.yaml"), profile(name)).unwrap();
    }
    symlink("..2", dir.path().join("..data")).unwrap();
    symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
    let bundle = Bundle::load(&settings(dir.path(), "new", &[])).unwrap();
    assert!(bundle.profile("new").is_some() && bundle.profile("old").is_none());
}

#[test]
fn without_a_bundle_everything_is_denied() {
    let profile = Bundle::deny_all().profile_for(&sandbox_in("ci"));
    assert_eq!((profile.name(), profile.counts().rules), ("deny-all", 0));
}
