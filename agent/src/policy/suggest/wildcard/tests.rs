//! Where a wildcard is honest, and where names stay names.

use proptest::prelude::*;

use super::*;
use crate::policy::suggest::tests::{collect, observation, parse, seen, with_wildcards};
use crate::policy::suggest::{Heading, Observation, Suggestion};
use crate::policy::{NameDecision, Profile};

/// `r1.DOMAIN` and so on, at 443.
fn shards(domain: &str, count: usize) -> Vec<Observation> {
    at(domain, count, Port::HTTPS, "203.0.113.7")
}

fn at(domain: &str, count: usize, port: Port, address: &str) -> Vec<Observation> {
    (1..=count)
        .map(|n| observation(Some(&format!("r{n}.{domain}")), address, port, "npm"))
        .collect()
}

fn allows(profile: &Profile, name: &str, port: Port) -> bool {
    let name = HostName::parse(name).unwrap();
    let NameDecision::Allowed(grants) = profile.decide_name(&name) else { return false };
    grants.iter().any(|grant| grant.ports.contains(&port))
}

/// How many wildcards and names the suggestion has.
#[track_caller]
fn check(observed: &[Observation], wildcards: usize, names: usize) {
    let text = with_wildcards(&collect(observed));
    let counts = parse(&text).counts();
    assert_eq!((counts.wildcards, counts.names), (wildcards, names), "{text}");
}

#[test]
fn many_names_below_one_domain_are_one_rule_with_its_evidence() {
    let mut observed = shards("cdn.example.com", 30);
    for (at, observed) in observed.iter_mut().enumerate() {
        observed.seen.process = Some(["node", "npm"][at % 2].to_owned());
        observed.seen.job = Some(format!("job {}", at + 1));
    }
    let text = with_wildcards(&collect(&observed));
    let expected = r#"  allow:
    # WARNING: each of these allows every name one label below; list the names instead where they are few.
    - id: "wildcards-443-tcp"
      domains:
        # 30 names were seen below it: r1.cdn.example.com, r10.cdn.example.com, r11.cdn.example.com, r12.cdn.example.com, r13.cdn.example.com, r14.cdn.example.com, r15.cdn.example.com, r16.cdn.example.com, 22 more
        # 90 connections by node, npm; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        # in 30 jobs: job 1, job 10, job 11, 27 more
        - "*.cdn.example.com"
      ports: ["443/tcp"]
"#;
    assert!(text.ends_with(expected), "{text}");
    let profile = parse(&text);
    assert!(allows(&profile, "r31.cdn.example.com", Port::HTTPS));
    for other in ["cdn.example.com", "a.b.cdn.example.com", "www.example.com"] {
        assert!(!allows(&profile, other, Port::HTTPS), "{other}");
    }
}

#[test]
fn few_names_stay_names() {
    check(&shards("cdn.example.com", 9), 0, 9);
    check(&shards("cdn.example.com", 10), 1, 0);
    let few = collect(&shards("cdn.example.com", 3));
    let three = Wildcards::From(NonZeroUsize::new(3).unwrap());
    assert_eq!(parse(&few.write(&Heading::default(), three).text).counts().wildcards, 1);
    let many = collect(&shards("cdn.example.com", 30));
    let text = many.write(&Heading::default(), Wildcards::Never).text;
    assert_eq!(parse(&text).counts().names, 30);
}

#[test]
fn what_many_owners_share_stays_names() {
    for domain in [
        "com",
        "co.uk",
        "github.io",
        "s3.amazonaws.com",
        "amazonaws.com",
        "bucket.storage.googleapis.com",
        "cos.region.myqcloud.com",
        "svc.cluster.local",
    ] {
        check(&shards(domain, 30), 0, 30);
    }
    check(&shards("customer.github.io", 30), 1, 0);
}

#[test]
fn a_domain_with_a_shared_one_directly_below_stays_names() {
    let mut observed = shards("co.com.example.com", 0);
    observed.extend(shards("uk", 12));
    observed.push(observation(Some("co.uk"), "203.0.113.7", Port::HTTPS, "npm"));
    check(&observed, 0, 13);
}

#[test]
fn names_at_other_depths_do_not_add_up() {
    let observed: Vec<_> = (0..30)
        .map(|n| format!("x{n}.s{n}.cdn.example.com"))
        .map(|name| observation(Some(&name), "203.0.113.7", Port::HTTPS, "npm"))
        .collect();
    check(&observed, 0, 30);
}

#[test]
fn a_wildcard_opens_the_ports_that_many_names_had() {
    let mut observed = shards("cdn.example.com", 12);
    observed.extend(at("cdn.example.com", 2, Port::tcp(80), "203.0.113.7"));
    let text = with_wildcards(&collect(&observed));
    let profile = parse(&text);
    assert!(allows(&profile, "r2.cdn.example.com", Port::tcp(80)), "{text}");
    assert!(allows(&profile, "r2.cdn.example.com", Port::HTTPS), "{text}");
    assert!(!allows(&profile, "r3.cdn.example.com", Port::tcp(80)), "{text}");
}

#[test]
fn names_that_led_to_private_addresses_stay_names() {
    check(&at("example.com", 30, Port::HTTPS, "10.0.0.7"), 0, 30);
}

#[test]
fn a_wildcard_takes_in_nothing_that_was_refused() {
    let refused = |port: Option<Port>| {
        let mut suggestion = collect(&shards("cdn.example.com", 12));
        let name = "exfil.cdn.example.com";
        match port {
            None => suggestion.refused_name(name, "domain_not_in_allowlist", &seen("nc", None)),
            Some(port) => {
                let refused = observation(Some(name), "203.0.113.7", port, "nc");
                suggestion.refused(&refused, "port_not_allowed");
            }
        }
        parse(&with_wildcards(&suggestion)).counts().wildcards
    };
    assert_eq!(refused(None), 0);
    assert_eq!(refused(Some(Port::HTTPS)), 0);
    assert_eq!(refused(Some(Port::tcp(25))), 1);
    // What was refused once and passed later is wanted.
    let mut suggestion = collect(&shards("cdn.example.com", 12));
    suggestion.refused_name("r1.cdn.example.com", "domain_not_in_allowlist", &seen("nc", None));
    assert_eq!(parse(&with_wildcards(&suggestion)).counts().wildcards, 1);
}

#[test]
fn a_job_may_ask_for_as_many_names_as_were_seen() {
    let text = with_wildcards(&collect(&shards("cdn.example.com", 200)));
    assert_eq!(parse(&text).dns().names_per_wildcard, 200);
    let text = with_wildcards(&collect(&shards("cdn.example.com", 450)));
    assert_eq!(parse(&text).dns().names_per_wildcard, 450);
    assert!(text.contains("# WARNING: so many names below one wildcard"), "{text}");
    let text = with_wildcards(&collect(&shards("cdn.example.com", 12_000)));
    assert_eq!(parse(&text).dns().names_per_wildcard, 10_000);
}

/// Names in a few shared and a few owned domains.
fn name() -> impl Strategy<Value = String> {
    let domains = vec![
        "com",
        "uk",
        "co.uk",
        "ck",
        "kawasaki.jp",
        "github.io",
        "me.github.io",
        "s3.amazonaws.com",
        "amazonaws.com",
        "example.com",
        "cdn.example.com",
        "blob.core.windows.net",
        "internal",
        "xn--55qx5d.cn",
        "city.kawasaki.jp",
        "loca.lt",
    ];
    let deeper = prop::option::weighted(0.3, "[a-c]");
    (0..14_u32, deeper, prop::sample::select(domains)).prop_map(|(n, deeper, domain)| {
        let deeper = deeper.map(|label| format!(".{label}")).unwrap_or_default();
        format!("r{n}{deeper}.{domain}")
    })
}

fn seen_names() -> impl Strategy<Value = Suggestion> {
    let port = prop::sample::select(vec![Port::HTTPS, Port::tcp(80), Port::udp(443)]);
    let address =
        prop::sample::select(vec!["203.0.113.7", "203.0.113.7", "203.0.113.7", "10.0.0.7"]);
    let reached = prop::collection::vec((name(), port, address), 0..200);
    let refused = prop::collection::vec(name(), 0..3);
    (reached, refused).prop_map(|(reached, refused)| {
        let mut suggestion = Suggestion::default();
        for (name, port, address) in reached {
            suggestion.reached(&observation(Some(&name), address, port, "npm"));
        }
        for name in refused {
            suggestion.refused_name(&name, "domain_not_in_allowlist", &seen("nc", None));
        }
        suggestion
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_suggestion_allows_what_passed_and_no_wildcard_is_shared(
        suggestion in seen_names(),
        least in 1_usize..12,
    ) {
        let wildcards = Wildcards::From(NonZeroUsize::new(least).unwrap());
        let text = suggestion.write(&Heading::default(), wildcards).text;
        let profile = parse(&text);
        for (subject, destination) in &suggestion.destinations {
            for port in destination.ports.keys() {
                let allowed = super::super::allows(&profile, subject, *port, destination.private);
                prop_assert!(allowed, "{} {}\n{}", subject, port, text);
            }
        }
        for line in text.lines() {
            let Some(domain) = line.trim().strip_prefix("- \"*.").and_then(|rest| rest.strip_suffix('"')) else {
                continue;
            };
            // By the list itself, not by what the code makes of it.
            let registered = psl::domain_str(domain);
            prop_assert!(registered.is_some_and(|registered| domain.ends_with(registered)), "{}", text);
            prop_assert!(!domain.ends_with("loca.lt") && !domain.ends_with("internal"), "{}", text);
        }
        for (subject, _) in suggestion.refused.keys() {
            let was_reached = suggestion.destinations.contains_key(subject);
            let allowed = [Port::HTTPS, Port::tcp(80), Port::udp(443)]
                .into_iter()
                .any(|port| super::super::allows(&profile, subject, port, false));
            prop_assert_eq!(allowed, was_reached, "{}\n{}", subject, text);
        }
    }
}
