//! What is added, and that nothing else changes.

use proptest::prelude::*;

use super::*;
use crate::policy::suggest::Observation;
use crate::policy::suggest::tests::{collect, observation, parse, seen};
use crate::policy::{HostName, NameDecision, Port};

const HEAD: &str =
    "apiVersion: weir.dev/v1 # of the team\nkind: EgressProfile\nmetadata: { name: team/build }\n";

/// Ways to write a profile that allows the same.
const SHAPES: [&str; 7] = [
    "spec:\n  mode: audit   # for now\n  allow:\n    # Ours.\n    - id: registry\n      domains: [registry.example.com, \"*.own.example.com\"]\n    - id: net\n      cidrs: [198.51.100.0/24]\n      ports: [443, 8443]\n    # end of the rules\n  deny: { domains: [bad.example.com] }\n",
    "spec:\n  allow:\n  - id: registry\n    domains: [registry.example.com, \"*.own.example.com\"]\n  - id: net\n    cidrs: [198.51.100.0/24]\n    ports: [443, 8443]\n  deny: { domains: [bad.example.com] }",
    "spec:\n  deny: { domains: [bad.example.com] }\n  allow: [ { id: registry, domains: [registry.example.com, \"*.own.example.com\"] }, { id: net, cidrs: [198.51.100.0/24], ports: [443, 8443] } ]\n",
    "spec:\n  deny: { domains: [bad.example.com] }\n  allow: [\n      { id: registry, domains: [registry.example.com, \"*.own.example.com\"] }, # one\n      { id: net, cidrs: [198.51.100.0/24], ports: [443, 8443] }, # two\n    ] # done\n  inbound: []\n",
    "spec: { deny: { domains: [bad.example.com] }, allow: [ { id: registry, domains: [registry.example.com, \"*.own.example.com\"] }, { id: net, cidrs: [198.51.100.0/24], ports: [443, 8443] } ], mode: block }\n",
    "spec:\n  allow: []  # nothing yet\n  deny: { domains: [bad.example.com] }\n",
    "spec: { deny: { domains: [bad.example.com] } }\n",
];

fn base(shape: &str) -> Base {
    Base::from_yaml("team.yaml", format!("{HEAD}{shape}")).unwrap()
}

fn merged(base: &Base, observed: &[Observation]) -> Merged {
    collect(observed).merge_into(base, Wildcards::default()).unwrap()
}

fn https(name: &str) -> Observation {
    observation(Some(name), "203.0.113.7", Port::HTTPS, "npm")
}

#[test]
fn only_what_is_missing_is_added() {
    let base = base(SHAPES[0]);
    let observed = [
        https("registry.example.com"),
        https("x.own.example.com"),
        https("new.example.com"),
        https("bad.example.com"),
        observation(None, "198.51.100.7", Port::tcp(8443), "npm"),
        observation(None, "198.51.100.7", Port::tcp(22), "ssh"),
    ];
    let Merged { text, added } = merged(&base, &observed);
    let expected = r#"      cidrs: [198.51.100.0/24]
      ports: [443, 8443]
    # Suggested by weir from what was seen. Review every entry before use.
    - id: "names-443-tcp"
      domains:
        # 3 connections by npm; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        - "new.example.com"
      ports: ["443/tcp"]
    # WARNING: no name led to these addresses. Find out what they are; who owns them can change.
    - id: "addresses-22-tcp"
      cidrs:
        # 3 connections by ssh; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        - "198.51.100.7/32"
      ports: ["22/tcp"]
    # Left out: names that `deny` of this profile refuses, whatever a rule allows
    #   bad.example.com
    # end of the rules
"#;
    assert!(text.contains(expected), "{text}");
    assert_eq!(added, 2);
    // Without the added lines it is the file that it was.
    let (before, rest) = text.split_once("    # Suggested").unwrap();
    let (_, after) = rest.split_once("#   bad.example.com\n").unwrap();
    assert_eq!(format!("{before}{after}"), base.text);
}

#[test]
fn where_nothing_is_missing_nothing_changes() {
    let base = base(SHAPES[1]);
    let unchanged = Merged { text: base.text.clone(), added: 0 };
    assert_eq!(merged(&base, &[https("registry.example.com")]), unchanged);
    assert_eq!(merged(&base, &[https("bad.example.com")]), unchanged);
    let mut refused = collect(&[]);
    refused.refused_name("c2.example.net", "domain_not_in_allowlist", &seen("nc", None));
    assert_eq!(refused.merge_into(&base, Wildcards::default()).unwrap(), unchanged);
}

#[test]
fn every_way_to_write_the_list_goes_on() {
    for shape in SHAPES {
        let base = base(shape);
        let observed = [https("registry.example.com"), https("new.example.com")];
        let Merged { text, .. } = merged(&base, &observed);
        let profile = parse(&text);
        for observed in &observed {
            let name = observed.host.as_ref().unwrap();
            assert!(matches!(profile.decide_name(name), NameDecision::Allowed(_)), "{text}");
        }
        assert_eq!((profile.name(), profile.mode()), ("team/build", base.profile.mode()));
        // Nothing of the file is lost, though the brackets of an empty list are.
        let is_text = |c: &char| !c.is_whitespace() && !"[]".contains(*c);
        let mut rest = text.chars();
        for wanted in base.text.chars().filter(is_text) {
            assert!(rest.any(|c| c == wanted), "{text}");
        }
    }
}

#[test]
fn added_ids_are_new() {
    let base = base("spec:\n  allow:\n  - { id: names-443-tcp, domains: [a.example.com] }\n");
    let Merged { text, .. } = merged(&base, &[https("b.example.com")]);
    assert!(text.contains("- id: \"names-443-tcp-2\"\n"), "{text}");
}

#[test]
fn a_private_answer_needs_a_rule_of_its_own() {
    let base = base("spec:\n  allow:\n  - { id: a, domains: [a.example.com] }\n");
    let private = observation(Some("a.example.com"), "10.0.0.7", Port::HTTPS, "npm");
    let Merged { text, added } = merged(&base, std::slice::from_ref(&private));
    assert_eq!(added, 1);
    assert_eq!(merged(&Base::from_yaml("x", text).unwrap(), &[private]).added, 0);
}

#[test]
fn a_prefix_that_is_full_takes_no_more_ports() {
    let ports: Vec<String> = (1..=16).map(|port| port.to_string()).collect();
    let shape = format!(
        "spec:\n  allow:\n  - {{ id: a, cidrs: [198.51.100.0/24], ports: [{}] }}\n",
        ports.join(", ")
    );
    let base = base(&shape);
    let observed = [observation(None, "198.51.100.7", Port::HTTPS, "npm"), https("b.example.com")];
    let Merged { text, added } = merged(&base, &observed);
    assert_eq!(added, 1);
    assert!(
        text.contains("    # Left out: ports beyond")
            || text.contains("  # Left out: ports beyond"),
        "{text}"
    );
}

#[test]
fn a_budget_that_is_too_small_is_said() {
    let base = base("spec:\n  allow: []\n  dns: { namesPerWildcard: 20 }\n");
    let observed: Vec<_> = (0..30).map(|n| https(&format!("r{n}.cdn.example.com"))).collect();
    let Merged { text, .. } = merged(&base, &observed);
    assert!(
        text.contains(
            "# WARNING: 30 names were seen below one wildcard; the profile lets a job ask for 20 "
        ),
        "{text}"
    );
}

#[test]
fn a_profile_that_is_none_is_an_error() {
    let error = Base::from_yaml("team.yaml", "kind: Pod".to_owned()).unwrap_err();
    assert!(error.to_string().starts_with("team.yaml:1:1: "), "{error}");
    assert!(Base::from_file(Path::new("no/such/file")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_outcome_allows_what_it_allowed_and_what_passed(
        shape in prop::sample::select(SHAPES.to_vec()),
        names in prop::collection::btree_set("[a-c]{1,2}(\\.own|\\.cdn)?\\.example\\.(com|org)", 0..30),
        port in prop::sample::select(vec![Port::HTTPS, Port::tcp(80)]),
        address in prop::sample::select(vec!["203.0.113.7", "10.0.0.7"]),
    ) {
        let base = base(shape);
        let observed: Vec<_> = names.iter().map(|name| observation(Some(name), address, port, "npm")).collect();
        let merged = merged(&base, &observed);
        let profile = parse(&merged.text);
        for name in names.iter().map(String::as_str).chain(["registry.example.com", "z.own.example.com"]) {
            let name = HostName::parse(name).unwrap();
            let before = matches!(base.profile.decide_name(&name), NameDecision::Allowed(_));
            let after = matches!(profile.decide_name(&name), NameDecision::Allowed(_));
            let meant = before || names.contains(name.as_str());
            // So many names below one domain may have become a wildcard.
            let parent = name.as_str().split_once('.').map(|(_, parent)| parent);
            let beside = names.iter().filter(|one| one.split_once('.').map(|(_, parent)| parent) == parent);
            let is_below = beside.count() >= 10;
            prop_assert!(if meant { after } else { !after || is_below }, "{}\n{}", name, merged.text);
        }
        let again = collect(&observed);
        let base = Base::from_yaml("again.yaml", merged.text.clone()).unwrap();
        let twice = again.merge_into(&base, Wildcards::Never).unwrap();
        prop_assert_eq!(twice.added, 0, "{}", twice.text);
    }
}
