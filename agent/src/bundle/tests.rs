//! Bundles from folders, good and bad.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::events::record::Scope;
use crate::identity::Traits;
use crate::policy::{Chain, HostName, NameDecision};

fn with_spec(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: {name} }}\nspec: {spec}\n"
    )
}

fn profile(name: &str) -> String {
    with_spec(name, "{}")
}

/// Where annotations are trusted and labels are not.
const TRUST: config::Gitlab = config::Gitlab { trust_annotations: true, trust_labels: false };

fn load(policy: &config::Policy) -> Result<Bundle, BundleError> {
    Bundle::load(policy, TRUST, None)
}

/// A folder with profiles of these names and specs.
fn folder(profiles: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (at, (name, spec)) in profiles.iter().enumerate() {
        fs::write(dir.path().join(format!("{at}.yaml")), with_spec(name, spec)).unwrap();
    }
    dir
}

fn in_namespace(namespace: &str) -> Traits {
    Traits { namespace: Some(namespace.to_owned()), ..Traits::default() }
}

fn decides(profile: &Profile, name: &str) -> &'static str {
    match profile.decide_name(&HostName::parse(name).unwrap()) {
        NameDecision::Allowed(_) => "allowed",
        NameDecision::Denied { .. } => "denied",
        NameDecision::NotListed => "not listed",
    }
}

fn settings(dir: &Path, default: &str, namespaces: &[(&str, &str)]) -> config::Policy {
    let namespaces = namespaces.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let mode = PolicyMode::Profiles;
    config::Policy { dir: dir.to_owned(), mode, default: default.to_owned(), namespaces }
}

fn error(policy: &config::Policy) -> String {
    Chain(&load(policy).unwrap_err()).to_string()
}

#[test]
fn a_pod_gets_the_profile_of_its_namespace_or_the_default() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), profile("build/node")).unwrap();
    fs::write(dir.path().join("b.yaml"), profile("deploy")).unwrap();
    fs::write(dir.path().join("notes.txt"), "no profile").unwrap();
    fs::write(dir.path().join(".hidden.yaml"), "no profile").unwrap();
    let policy = settings(dir.path(), "build/node", &[("cd", "deploy"), ("old", "deny-all")]);
    let bundle = load(&policy).unwrap();
    let name = |namespace| bundle.choose(&in_namespace(namespace)).profile.name().to_owned();
    assert_eq!(
        (name("ci"), name("cd"), name("old")),
        ("build/node".into(), "deploy".into(), "deny-all".into())
    );
    let names: Vec<_> = bundle.profiles().map(|profile| profile.name()).collect();
    assert_eq!(names, ["build/node", "deny-all", "deploy"]);
    assert!(bundle.profile("deploy").is_some() && bundle.profile("notes").is_none());
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
    let digest = |default: &str, namespaces: &[(&str, &str)]| {
        load(&settings(dir.path(), default, namespaces)).unwrap().digest().to_owned()
    };
    write("a.yaml", "one");
    write("b.yaml", "two");
    let first = digest("one", &[]);
    assert!(first.starts_with("sha256:") && first.len() == 71);
    // Other file names, other order of reading: the same.
    write("a.yaml", "two");
    write("b.yaml", "one");
    assert_eq!(digest("one", &[]), first);
    // Another default, a namespace, one byte of a file: another.
    let mut seen = vec![first.clone(), digest("two", &[]), digest("one", &[("ci", "two")])];
    fs::write(dir.path().join("b.yaml"), profile("one") + "#").unwrap();
    seen.push(digest("one", &[]));
    seen.push(Bundle::deny_all(PolicyMode::Profiles).digest().to_owned());
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
    let bundle = load(&settings(dir.path(), "new", &[])).unwrap();
    assert!(bundle.profile("new").is_some() && bundle.profile("old").is_none());
}

#[test]
fn a_node_that_only_watches_has_every_profile_in_audit_mode() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), profile("held")).unwrap();
    let watched = profile("watched").replace("spec: {}", "spec: { mode: audit }");
    fs::write(dir.path().join("b.yaml"), watched).unwrap();
    let policy = settings(dir.path(), "deny-all", &[("ci", "held"), ("try", "watched")]);
    let modes = |bundle: &Bundle| {
        let mode = |namespace| bundle.choose(&in_namespace(namespace)).profile.mode();
        [mode("ci"), mode("try"), mode("other")]
    };
    let held = load(&policy).unwrap();
    assert_eq!(modes(&held), [Mode::Block, Mode::Audit, Mode::Block]);
    let watching = config::Policy { mode: PolicyMode::Audit, ..policy };
    let watched = load(&watching).unwrap();
    assert_eq!(modes(&watched), [Mode::Audit; 3]);
    assert!(watched.profiles().all(|profile| profile.mode() == Mode::Audit));
    assert_ne!(held.digest(), watched.digest());
    // Also of what an older bundle has compiled, and without any that can be used.
    assert_eq!(modes(&Bundle::load(&watching, TRUST, Some(&watched)).unwrap()), [Mode::Audit; 3]);
    assert_eq!(modes(&Bundle::deny_all(PolicyMode::Audit)), [Mode::Audit; 3]);
}

#[test]
fn without_a_bundle_everything_is_denied() {
    let profile = Bundle::deny_all(PolicyMode::Profiles).choose(&in_namespace("ci")).profile;
    assert_eq!((profile.name(), profile.counts().rules), ("deny-all", 0));
}

#[test]
fn the_narrowest_selector_decides_and_the_configuration_comes_before_a_profile() {
    let dir = folder(&[
        ("payments", "{ select: { gitlab: { project: fintech/payments } } }"),
        ("fintech", "{ select: { gitlab: { group: fintech } } }"),
        ("a-namespace", "{ select: { namespaces: [ci] } }"),
        ("team", "{ select: { podLabels: { team: x } } }"),
        ("plain", "{}"),
    ]);
    let bundle = load(&settings(dir.path(), "deny-all", &[("ci", "plain")])).unwrap();
    let mut traits = in_namespace("ci");
    let choice = |traits: &Traits| {
        let choice = bundle.choose(traits);
        (choice.profile.name().to_owned(), choice.scope)
    };
    assert_eq!(choice(&traits), ("plain".to_owned(), Scope::Namespace));
    traits.labels.insert("team".to_owned(), "x".to_owned());
    assert_eq!(choice(&traits), ("team".to_owned(), Scope::Labels));
    traits.gitlab.project = Some("fintech/other".to_owned());
    assert_eq!(choice(&traits), ("fintech".to_owned(), Scope::Group));
    traits.gitlab.project = Some("fintech/payments".to_owned());
    assert_eq!(choice(&traits), ("payments".to_owned(), Scope::Project));
    assert_eq!(choice(&in_namespace("cd")), ("deny-all".to_owned(), Scope::Default));
    let order: Vec<_> =
        bundle.weigh(&traits).iter().map(|weighed| weighed.profile().to_owned()).collect();
    assert_eq!(order, ["payments", "fintech", "team", "plain", "a-namespace"]);
    assert_eq!(bundle.by_labels().collect::<Vec<_>>(), ["team"]);
}

#[test]
fn a_selector_that_can_select_nobody_refuses_the_bundle() {
    for select in ["project: a/b", "group: a", "projectId: 4, refs: main"] {
        let dir = folder(&[("a", &format!("{{ select: {{ gitlab: {{ {select} }} }} }}"))]);
        let policy = settings(dir.path(), "deny-all", &[]);
        assert!(load(&policy).is_ok());
        let untrusted = config::Gitlab { trust_annotations: false, trust_labels: true };
        let error = Bundle::load(&policy, untrusted, None).unwrap_err().to_string();
        assert!(error.starts_with("the profile `a` selects by `gitlab."), "{error}");
        assert!(error.contains("set `gitlab.trustAnnotations: true`"), "{error}");
    }
}

#[test]
fn two_profiles_for_the_same_are_refused() {
    let select = "{ select: { gitlab: { project: [a/b, c/d] } } }";
    let dir = folder(&[("one", select), ("two", select)]);
    assert_eq!(
        error(&settings(dir.path(), "deny-all", &[])),
        "the profiles `one` and `two` select the same (gitlab.project `a/b` or `c/d`); narrow one of them, or join them by `include`"
    );
}

#[test]
fn what_is_included_is_allowed_and_denied_too() {
    let rule = |id: &str, name: &str| format!("allow: [{{ id: {id}, domains: [{name}] }}]");
    let base = format!(
        "{{ {}, deny: {{ domains: [bad.example.com] }} }}",
        rule("base", "base.example.com")
    );
    let middle =
        format!("{{ mode: audit, include: [base], {} }}", rule("middle", "middle.example.com"));
    let top = format!("{{ include: [middle, base], {} }}", rule("top", "top.example.com"));
    let dir = folder(&[("base", &base), ("middle", &middle), ("top", &top)]);
    let bundle = load(&settings(dir.path(), "deny-all", &[])).unwrap();
    let profile = bundle.profile("top").unwrap();
    for name in ["base.example.com", "middle.example.com", "top.example.com"] {
        assert_eq!(decides(profile, name), "allowed", "{name}");
    }
    assert_eq!(decides(profile, "bad.example.com"), "denied");
    assert_eq!(profile.rule_ids(), ["top", "middle", "base"]);
    // The mode is each profile's own.
    assert_eq!(profile.mode().as_str(), "block");
    let base = bundle.profile("base").unwrap();
    assert_eq!(decides(base, "top.example.com"), "not listed");
}

#[test]
fn what_an_included_profile_says_is_a_part_of_the_digest() {
    let digest = |name: &str| {
        let base = format!("{{ allow: [{{ id: a, domains: [{name}] }}] }}");
        let dir = folder(&[("base", &base), ("top", "{ include: [base] }")]);
        let bundle = load(&settings(dir.path(), "deny-all", &[])).unwrap();
        (bundle.profile("top").unwrap().digest().to_owned(), bundle.digest().to_owned())
    };
    let (first, other) = (digest("a.example.com"), digest("b.example.com"));
    assert!(first.0 != other.0 && first.1 != other.1);
    assert_eq!(digest("a.example.com"), first);
}

#[test]
fn includes_that_cannot_be_followed_refuse_the_bundle() {
    let refused = |profiles: &[(&str, &str)]| {
        let dir = folder(profiles);
        error(&settings(dir.path(), "deny-all", &[]))
    };
    assert_eq!(
        refused(&[("a", "{ include: [b] }"), ("b", "{ include: [c] }"), ("c", "{ include: [b] }")]),
        "profiles include each other in a circle: b → c → b; leave one of them out"
    );
    assert_eq!(
        refused(&[("a", "{ include: [none] }")]),
        "the profile `a` includes `none`, which no file has"
    );
    let rule = "{ allow: [{ id: x, domains: [a.example.com] }] }";
    assert_eq!(
        refused(&[("a", rule), ("b", rule), ("c", "{ include: [a, b] }")]),
        "the profile `c` has two rules `x`: one of `a` and one of `b`; rename one, records tell them apart by it"
    );
    let ports = |from: u16| {
        let ports: Vec<_> = (from..from + 16).map(|port| port.to_string()).collect();
        format!(
            "{{ allow: [{{ id: p{from}, cidrs: [10.0.0.0/8], ports: [{}] }}] }}",
            ports.join(", ")
        )
    };
    let many = refused(&[("a", &ports(1)), ("b", &ports(20)), ("c", "{ include: [a, b] }")]);
    let expected = "the profile `c` together with what it includes: the rules that cover 10.0.0.0/8 (`p1`, `p20`) allow 32 distinct ports";
    assert!(many.starts_with(expected), "{many}");
}

#[test]
fn a_file_that_stays_the_same_is_not_compiled_again() {
    let dir = folder(&[("same", "{}"), ("other", "{}"), ("both", "{ include: [same] }")]);
    let policy = settings(dir.path(), "deny-all", &[]);
    let first = load(&policy).unwrap();
    fs::write(dir.path().join("1.yaml"), with_spec("other", "{ mode: audit }")).unwrap();
    let second = Bundle::load(&policy, TRUST, Some(&first)).unwrap();
    assert_ne!(first.digest(), second.digest());
    for (name, same) in [("same", true), ("both", true), ("other", false)] {
        let (old, new) = (first.profile(name).unwrap(), second.profile(name).unwrap());
        assert_eq!(new.shares_rules_with(old), same, "{name}");
        // Records tell of the bundle that is in force.
        assert_eq!(new.provenance().bundle(), second.digest());
    }
}

#[test]
fn a_config_map_whose_version_is_missing_is_no_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    symlink("..gone", dir.path().join("..data")).unwrap();
    assert!(error(&settings(dir.path(), "deny-all", &[])).contains("No such file"));
}
