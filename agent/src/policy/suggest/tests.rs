//! The suggestion allows what was seen and nothing else.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::policy::{AddressDecision, HardBlock, Inbound, Mode, NameDecision, Profile};

pub(super) fn observation(
    host: Option<&str>,
    address: &str,
    port: Port,
    process: &str,
) -> Observation {
    Observation {
        host: host.map(|host| HostName::parse(host).unwrap()),
        address: address.parse().unwrap(),
        port,
        seen: seen(process, None),
    }
}

pub(super) fn seen(process: &str, job: Option<&str>) -> Seen {
    Seen {
        count: 3,
        process: Some(process.to_owned()),
        job: job.map(str::to_owned),
        first: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        last: UNIX_EPOCH + Duration::from_secs(1_700_000_060),
    }
}

pub(super) fn collect<'a>(observed: impl IntoIterator<Item = &'a Observation>) -> Suggestion {
    let mut suggestion = Suggestion::default();
    for observation in observed {
        suggestion.reached(observation);
    }
    suggestion
}

/// The text of a profile, without a wildcard.
fn suggest(name: &str, observed: &[Observation]) -> String {
    let heading = Heading { name: name.to_owned(), ..Heading::default() };
    collect(observed).write(&heading, Wildcards::Never).text
}

pub(super) fn with_wildcards(suggestion: &Suggestion) -> String {
    suggestion.write(&Heading::default(), Wildcards::default()).text
}

pub(super) fn parse(text: &str) -> Profile {
    Profile::from_yaml("suggested.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn a_suggestion_is_ready_for_review() {
    let observed = [
        observation(Some("registry.example.com"), "198.51.100.1", Port::HTTPS, "npm"),
        observation(Some("registry.example.com"), "198.51.100.2", Port::HTTPS, "node"),
        observation(Some("git.example.com"), "198.51.100.3", Port::HTTPS, "git"),
        observation(Some("git.example.com"), "198.51.100.3", Port::tcp(22), "ssh"),
        observation(Some("db.example.com"), "10.0.0.5", Port::tcp(5432), "psql"),
        observation(None, "203.0.113.7", Port::HTTPS, "curl"),
        observation(None, "2001:db8::7", Port::HTTPS, "curl"),
        observation(None, "192.0.2.53", Port::udp(53), "dig"),
        observation(None, "127.0.0.1", Port::tcp(80), "curl"),
    ];
    let text = suggest("build/node-22", &observed);
    assert_eq!(
        text,
        r#"# Suggested by weir from what was seen. Review every entry before use.
apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: "build/node-22" }
spec:
  mode: block
  allow:
    - id: "names-22-tcp-443-tcp"
      domains:
        # 6 connections by git, ssh; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        - "git.example.com"
      ports: ["22/tcp", "443/tcp"]
    - id: "names-443-tcp"
      domains:
        # 6 connections by node, npm; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        - "registry.example.com"
      ports: ["443/tcp"]
    # WARNING: these names led to private addresses; keep them only if that is meant.
    - id: "private-names-5432-tcp"
      domains:
        # 3 connections by psql; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        - "db.example.com"
      ports: ["5432/tcp"]
      private: true
    # WARNING: no name led to these addresses. Find out what they are; who owns them can change.
    - id: "addresses-443-tcp"
      cidrs:
        # 3 connections by curl; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        - "203.0.113.7/32"
        # 3 connections by curl; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
        - "2001:db8::7/128"
      ports: ["443/tcp"]
# Left out: metadata services and DNS other than weir's, which no profile can open
#   192.0.2.53 53/udp
"#
    );
    let profile = parse(&text);
    assert_eq!((profile.name(), profile.mode()), ("build/node-22", Mode::Block));
    assert_eq!(profile.inbound(), [Inbound::Node]);
}

#[test]
fn nothing_seen_allows_nothing() {
    let text = suggest("Not A Name", &[]);
    let profile = parse(&text);
    assert_eq!(profile.name(), "suggested");
    assert_eq!(profile.counts().rules, 0);
}

#[test]
fn names_are_private_where_the_resolver_asks_for_it() {
    for (address, private) in [
        ("10.0.0.5", true),
        ("::ffff:10.0.0.5", true),
        ("100.64.0.1", true),
        ("198.18.0.1", true),
        ("64:ff9b::10.0.0.5", true),
        ("fd00::1", true),
        ("203.0.113.7", false),
        ("2001:db8::7", false),
    ] {
        let seen = observation(Some("db.example.com"), address, Port::HTTPS, "psql");
        let profile = parse(&suggest("a", &[seen]));
        let name = HostName::parse("db.example.com").unwrap();
        let NameDecision::Allowed(grants) = profile.decide_name(&name) else {
            panic!("{address}: not allowed")
        };
        assert!(grants.iter().all(|grant| grant.private == private), "{address}");
    }
}

#[test]
fn text_of_the_job_stays_a_comment() {
    let process =
        "x\n  allow: [{ id: evil, cidrs: [0.0.0.0/0] }]\r\u{2028}\u{85}\u{1b}[31m\u{feff}";
    let observed = [observation(None, "203.0.113.7", Port::HTTPS, process)];
    let text = suggest("a", &observed);
    assert_eq!(parse(&text).counts().prefixes, 1);
    assert!(text.is_ascii() && !text.contains('\u{1b}'));
}

#[test]
fn names_that_profiles_cannot_hold_are_said() {
    let wire = |labels: &[&str]| HostName::from_wire_labels(labels.iter().map(|l| l.as_bytes()));
    let mut odd = observation(None, "203.0.113.7", Port::HTTPS, "curl");
    odd.host = wire(&["1", "2", "3", "4"]);
    let mut broken = odd.clone();
    broken.host = wire(&["xn--a", "example", "com"]);
    let text = suggest("a", &[odd, broken]);
    assert_eq!(parse(&text).counts().rules, 0);
    assert!(text.contains("#   1.2.3.4\n#   xn--a.example.com\n"), "{text}");
}

#[test]
fn many_ports_are_split_or_left_out() {
    let ports = |host: Option<&str>, count: u16| -> Vec<_> {
        (1000..1000 + count)
            .map(|port| observation(host, "203.0.113.7", Port::tcp(port), "scan"))
            .collect()
    };
    let text = suggest("a", &ports(Some("a.example.com"), 40));
    assert_eq!(parse(&text).counts().rules, 3);
    let text = suggest("a", &ports(None, 20));
    let profile = parse(&text);
    assert_eq!(profile.networks()[0].ports.len(), 16);
    assert!(text.contains("#   203.0.113.7/32 1019/tcp\n"), "{text}");
    parse(&suggest("a", &ports(Some("a.example.com"), 600)));
}

#[test]
fn more_than_a_profile_holds_is_left_out() {
    let names = (0..10_050).flat_map(|n| {
        let host = format!("{}.h{n}.example.com", "l".repeat(60));
        let processes = (0..9).map(|n| format!("{n}{}", "\u{1f600}".repeat(40)));
        processes
            .map(|process| observation(Some(&host), "203.0.113.7", Port::HTTPS, &process))
            .collect::<Vec<_>>()
    });
    let addresses = (0..4100u32).map(|n| {
        let address = std::net::Ipv4Addr::from(0xcb00_7100 + n).to_string();
        observation(None, &address, Port::HTTPS, "x")
    });
    let observed: Vec<_> = names.chain(addresses).collect();
    let text = suggest("a", &observed);
    let counts = parse(&text).counts();
    assert_eq!((counts.names, counts.prefixes), (10_000, 4096));
    assert!(text.contains("#   and 4 more\n"), "{}", &text[text.len() - 500..]);
}

#[test]
fn a_name_that_is_wanted_and_led_nowhere_is_for_https() {
    let asked = Seen { count: 4, ..seen("node", None) };
    let mut wanted = Suggestion::default();
    for (name, private) in [("a.example.com", false), ("b.example.com", true), ("-a", false)] {
        if let Ok(name) = HostName::parse(name) {
            wanted.wanted(&name, private, &asked);
        }
    }
    let rules = wanted.rules().unwrap();
    assert!(rules.contains("# 4 questions by "), "{rules}");
    let text = format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: a }}\nspec:\n  allow:\n{rules}"
    );
    let profile = Profile::from_yaml("a", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for (name, private) in [("a.example.com", false), ("b.example.com", true)] {
        let name = HostName::parse(name).unwrap();
        let NameDecision::Allowed(grants) = profile.decide_name(&name) else { panic!("{text}") };
        let grant = grants.iter().next().unwrap();
        assert_eq!((grant.ports, grant.private), (&[Port::HTTPS][..], private), "{text}");
    }
    assert_eq!(Suggestion::default().rules(), None);
}

#[test]
fn memory_is_bounded_by_distinct_destinations() {
    let mut suggestion = Suggestion::default();
    for n in 0..u32::try_from(DESTINATIONS).unwrap() + 2 {
        let port = Port::tcp(u16::try_from(n % 10_000).unwrap() + 1000);
        let host = format!("h{}.example.com", n / 10_000);
        suggestion.reached(&observation(Some(&host), "203.0.113.7", port, "scan"));
    }
    suggestion.asked("one.more.example.com", &seen("scan", None));
    suggestion.refused_name("another.example.com", "expired", &seen("scan", None));
    assert_eq!(suggestion.held, DESTINATIONS);
    assert!(suggestion.asked.is_empty() && suggestion.refused.is_empty());
    let text = suggestion.write(&Heading::default(), Wildcards::Never).text;
    parse(&text);
    assert!(
        text.contains("destinations beyond what one profile can hold\n#   another.example.com\n"),
        "{text}"
    );
}

fn observed() -> impl Strategy<Value = Observation> {
    let hosts =
        vec!["a.example.com", "b.example.com", "x.a.example.com", "null", "-a", "localhost"];
    let addresses = vec![
        "203.0.113.1",
        "203.0.113.2",
        "::ffff:203.0.113.2",
        "10.0.0.1",
        "2001:db8::1",
        "fd00::1",
        "169.254.169.254",
        "127.0.0.1",
    ];
    let port = prop_oneof![
        prop::sample::select(vec![22, 53, 443, 853]).prop_map(Port::tcp),
        prop::sample::select(vec![53, 443]).prop_map(Port::udp),
        Just(Port::ICMP),
    ];
    (
        prop::option::of(prop::sample::select(hosts)),
        prop::sample::select(addresses),
        port,
        ".{0,20}",
    )
        .prop_map(|(host, address, port, process)| observation(host, address, port, &process))
}

fn all_ports() -> impl Iterator<Item = Port> {
    let tcp = [22, 53, 80, 443, 853].map(Port::tcp);
    let udp = [22, 53, 443, 853].map(Port::udp);
    tcp.into_iter().chain(udp).chain([Port::ICMP])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_allows_exactly_what_was_seen(observed in prop::collection::vec(observed(), 0..25)) {
        let text = suggest("a", &observed);
        let profile = parse(&text);
        let counted = |seen: &&Observation| {
            let address = seen.address.to_canonical();
            !address.is_loopback() && HardBlock::of(address, seen.port).is_none()
        };
        let seen: Vec<_> = observed.iter().filter(counted).collect();
        for name in ["a.example.com", "b.example.com", "x.a.example.com", "null", "-a", "localhost", "c.example.com", "example.com", "y.a.example.com"] {
            let name = HostName::parse(name).unwrap();
            let of_name: Vec<_> = seen.iter().filter(|one| one.host.as_ref() == Some(&name)).collect();
            let private = of_name.iter().any(|one| {
                ["10.0.0.1", "fd00::1"].contains(&one.address.to_string().as_str())
            });
            for port in all_ports() {
                let expected = of_name.iter().any(|one| one.port == port);
                let granted = match profile.decide_name(&name) {
                    NameDecision::Allowed(grants) => {
                        prop_assert!(grants.iter().all(|grant| grant.private == private));
                        prop_assert!(grants.iter().all(|grant| grant.wildcard.is_none()));
                        grants.iter().any(|grant| grant.ports.contains(&port))
                    }
                    _ => false,
                };
                prop_assert_eq!(granted, expected, "{} {}\n{}", name, port, text);
            }
        }
        for address in ["203.0.113.1", "203.0.113.2", "203.0.113.3", "10.0.0.1", "2001:db8::1", "2001:db8::2", "fd00::1", "169.254.169.254"] {
            let address: IpAddr = address.parse().unwrap();
            for port in all_ports() {
                let expected = seen.iter().any(|one| {
                    one.host.is_none() && one.address.to_canonical() == address && one.port == port
                });
                let decision = profile.decide_address(address, port);
                let granted = matches!(decision, AddressDecision::Allowed { .. });
                prop_assert_eq!(granted, expected, "{} {}\n{}", address, port, text);
            }
        }
    }
}
