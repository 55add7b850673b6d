//! What each key means when it is right.

use std::time::Duration;

use crate::policy::*;

/// A profile whose `spec` is this text, indented by two.
pub(in crate::policy) fn with_spec(spec: &str) -> String {
    let indented: Vec<_> = spec.lines().map(|line| format!("  {line}")).collect();
    let indented = indented.join("\n");
    format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: test }}\nspec:\n{indented}\n"
    )
}

#[track_caller]
pub(super) fn profile(spec: &str) -> Profile {
    match Profile::from_yaml("test.yaml", &with_spec(spec)) {
        Ok(profile) => profile,
        Err(error) => panic!("{error}"),
    }
}

fn host(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

/// For each rule that allows the name: its id, its ports, whether private, and the wildcard.
fn grants(profile: &Profile, name: &str) -> Vec<(String, Vec<String>, bool, Option<String>)> {
    let name = host(name);
    let NameDecision::Allowed(grants) = profile.decide_name(&name) else { return Vec::new() };
    let grants = grants.iter().map(|grant| {
        let wildcard = grant.wildcard.map(|index| profile.wildcard(index).unwrap().to_string());
        let ports = grant.ports.iter().map(ToString::to_string).collect();
        (profile.rule_id(grant.rule).to_owned(), ports, grant.private, wildcard)
    });
    grants.collect()
}

#[test]
fn the_published_example_is_accepted() {
    let profile = profile(
        "mode: block                 # or audit
allow:
  - id: registry
    domains: [registry.example.com, \"*.cdn.example.com\"]
    ports: [443]
  - id: kube-api
    cidrs: [10.96.0.1/32]
    ports: [443]
deny: { domains: [\"**.workers.dev\"] }
dns: { grace: 30s, maxTtl: 1h, namesPerWildcard: 200 }
inbound: [node]",
    );
    assert_eq!((profile.name(), profile.mode()), ("test", Mode::Block));
    assert_eq!(profile.dns(), &DnsSettings::default());
    assert_eq!(profile.inbound(), [Inbound::Node]);
    let counts = Counts { rules: 2, names: 1, wildcards: 1, prefixes: 1, denied: 1 };
    assert_eq!(profile.counts(), counts);
    let https = vec!["443/tcp".to_owned()];
    assert_eq!(
        grants(&profile, "registry.example.com"),
        [("registry".to_owned(), https.clone(), false, None)]
    );
    assert_eq!(
        grants(&profile, "a.cdn.example.com"),
        [("registry".to_owned(), https, false, Some("*.cdn.example.com".to_owned()))]
    );
    let decision = profile.decide_name(&host("x.workers.dev"));
    assert!(matches!(decision, NameDecision::Denied { rule: RuleIndex::DENY }));
    assert_eq!(profile.rule_id(RuleIndex::DENY), "deny");
    let decision = profile.decide_address("10.96.0.1".parse().unwrap(), Port::HTTPS);
    assert_eq!(decision, AddressDecision::Allowed { rule: RuleIndex(1) });
    assert_eq!(profile.rule_id(RuleIndex(1)), "kube-api");
}

#[test]
fn an_empty_spec_denies_everything() {
    for spec in ["{}", "allow: []", "deny: {}\ndns: {}"] {
        let profile = profile(spec);
        assert_eq!(profile.mode(), Mode::Block);
        assert_eq!(profile.inbound(), [Inbound::Node]);
        let decision = profile.decide_name(&host("registry.example.com"));
        assert!(matches!(decision, NameDecision::NotListed), "{spec}");
        let decision = profile.decide_address("192.0.2.1".parse().unwrap(), Port::HTTPS);
        assert_eq!(decision, AddressDecision::NotListed);
        assert!(profile.networks_for_kernel().is_empty());
    }
    assert_eq!(profile("inbound: []").inbound(), []);
}

#[test]
fn deny_all_is_a_profile_too() {
    let profile = Profile::deny_all();
    assert_eq!((profile.name(), profile.mode()), ("deny-all", Mode::Block));
    assert!(matches!(profile.decide_name(&host("example.com")), NameDecision::NotListed));
    assert_eq!(profile.rule_id(RuleIndex::DEFAULT_DENY), "default-deny");
    assert_eq!(profile.with_mode(Mode::Audit).mode(), Mode::Audit);
}

#[test]
fn mode_is_block_or_audit() {
    assert_eq!(profile("mode: audit").mode(), Mode::Audit);
    assert_eq!(profile("mode: \"block\"").mode(), Mode::Block);
}

#[test]
fn ports_are_tcp_unless_they_say_otherwise() {
    let profile = profile(
        "allow: [{ id: a, domains: [a.example.com], ports: [443, \"80\", 443/udp, 22/tcp, icmp] },
         { id: b, domains: [b.example.com] }]",
    );
    let ports = |name: &str| grants(&profile, name)[0].1.join(" ");
    assert_eq!(ports("a.example.com"), "443/tcp 80/tcp 443/udp 22/tcp icmp");
    assert_eq!(ports("b.example.com"), "443/tcp");
}

#[test]
fn each_rule_that_covers_a_name_grants_its_own() {
    let profile = profile(
        "allow:
  - { id: exact, domains: [a.example.com], ports: [22] }
  - { id: one, domains: [\"*.example.com\"], ports: [80], private: true }
  - { id: any, domains: [\"**.example.com\", \"*.example.com\"], ports: [443] }",
    );
    let found: Vec<_> = grants(&profile, "a.example.com")
        .into_iter()
        .map(|(rule, _, private, wildcard)| (rule, private, wildcard))
        .collect();
    let one = Some("*.example.com".to_owned());
    assert_eq!(
        found,
        [
            ("exact".to_owned(), false, None),
            ("one".to_owned(), true, one.clone()),
            ("any".to_owned(), false, one)
        ]
    );
    let deep = grants(&profile, "a.b.example.com");
    assert_eq!(deep.len(), 1);
    assert_eq!(deep[0].3.as_deref(), Some("**.example.com"));
}

#[test]
fn the_same_wildcard_is_one_budget_for_all_rules() {
    let profile = profile(
        "allow:
  - { id: a, domains: [\"**.example.com\"], ports: [22] }
  - { id: b, domains: [\"**.example.com\"], ports: [80] }",
    );
    let name = host("x.example.com");
    let NameDecision::Allowed(grants) = profile.decide_name(&name) else { panic!("refused") };
    let wildcards: Vec<_> = grants.iter().map(|grant| grant.wildcard.unwrap()).collect();
    assert_eq!(wildcards, [WildcardIndex(0), WildcardIndex(0)]);
}

#[test]
fn deny_wins_over_every_allow_rule() {
    let profile = profile(
        "allow: [{ id: a, domains: [\"**.example.com\", bad.example.com] }]
deny: { domains: [bad.example.com, \"*.worse.example.com\"] }",
    );
    let denied =
        |name: &str| matches!(profile.decide_name(&host(name)), NameDecision::Denied { .. });
    assert!(denied("bad.example.com") && denied("x.worse.example.com"));
    assert!(!denied("x.bad.example.com") && !denied("worse.example.com"));
}

#[test]
fn names_are_folded_and_mapped() {
    let profile = profile("allow: [{ id: a, domains: [\"BÜCHER.Example.COM.\"] }]");
    assert_eq!(grants(&profile, "xn--bcher-kva.example.com").len(), 1);
}

#[test]
fn mapped_prefixes_are_ipv4() {
    let profile = profile("allow: [{ id: a, cidrs: [\"::ffff:10.0.0.0/104\"] }]");
    assert_eq!(profile.networks()[0].net.to_string(), "10.0.0.0/8");
}

#[test]
fn dns_settings_are_read() {
    let profile = profile("dns: { grace: 0s, maxTtl: 24h, namesPerWildcard: 10000 }");
    let expected = DnsSettings {
        grace: Duration::ZERO,
        max_ttl: Duration::from_secs(86_400),
        names_per_wildcard: 10_000,
    };
    assert_eq!(profile.dns(), &expected);
    let grace =
        |text: &str| super::accepted::profile(&format!("dns: {{ grace: {text} }}")).dns().grace;
    assert_eq!(grace("45s"), Duration::from_secs(45));
    assert_eq!(grace("10m"), Duration::from_secs(600));
}

#[test]
fn inbound_names_the_node_and_networks() {
    let profile = profile("inbound: [node, 10.0.0.0/8, \"2001:db8::/32\"]");
    let network = |text: &str| Inbound::Network(text.parse().unwrap());
    let expected = [Inbound::Node, network("10.0.0.0/8"), network("2001:db8::/32")];
    assert_eq!(profile.inbound(), expected);
}

#[test]
fn block_style_and_quotes_make_no_difference() {
    let profile = profile(
        "'mode': 'audit'
allow:
- id: 'a'
  domains:
  - \"a.example.com\"
  - 'b.example.com'
  private: true",
    );
    assert!(grants(&profile, "b.example.com")[0].2);
}

#[test]
fn the_digest_is_over_the_bytes() {
    let text = with_spec("{}");
    let digest = |text: &str| Profile::from_yaml("a", text).unwrap().digest().to_owned();
    assert_eq!(digest(&text), digest(&text));
    assert_ne!(digest(&text), digest(&format!("{text}# comment\n")));
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Profile::deny_all().digest(), empty);
}
