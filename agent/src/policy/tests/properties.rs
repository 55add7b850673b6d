//! What holds for every file.

use proptest::prelude::*;

use crate::policy::*;

const SEED: &str = "apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: build/node-22 }
spec:
  mode: block                 # or audit
  allow:
    - id: registry
      domains: [registry.example.com, \"*.cdn.example.com\", \"**.b.example.com\"]
      ports: [443, \"443/udp\", icmp]
      private: true
    - id: kube-api
      cidrs: [10.96.0.1/32, \"2001:db8::/32\"]
  deny: { domains: [\"**.workers.dev\"] }
  dns: { grace: 30s, maxTtl: 1h, namesPerWildcard: 200 }
  inbound: [node, 10.0.0.0/8]
";

/// One way to spoil a text at a place.
#[derive(Clone, Debug)]
enum Edit {
    Insert(prop::sample::Index, String),
    Remove(prop::sample::Index, usize),
    Copy(prop::sample::Index, prop::sample::Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<prop::sample::Index>;
    let tokens = vec![
        ":", "- ", "[", "]", "{", "}", "\n", "\n\n  ", "\t", "&a ", "*a", "!t ", "%", "---\n",
        "...\n", "|\n", ">", "'", "\"", "#", ",", "?", "<<: ", "~", "\u{0}", "\u{feff}", "\\x00",
        "\r", "*", "ü",
    ];
    let text = prop_oneof![
        3 => prop::sample::select(tokens).prop_map(str::to_owned),
        1 => "\\PC{1,4}",
        1 => ".{1,4}",
    ];
    prop_oneof![
        3 => (place(), text).prop_map(|(at, text)| Edit::Insert(at, text)),
        2 => (place(), 1usize..12).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (place(), place(), 1usize..60).prop_map(|(from, to, count)| Edit::Copy(from, to, count)),
    ]
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for edit in edits {
        let at = |index: &prop::sample::Index, length: usize| index.index(length + 1);
        let length = characters.len();
        match edit {
            Edit::Insert(index, text) => {
                let at = at(index, length);
                characters.splice(at..at, text.chars());
            }
            Edit::Remove(index, count) => {
                let at = at(index, length);
                characters.drain(at..(at + count).min(length));
            }
            Edit::Copy(from, to, count) => {
                let from = at(from, length);
                let part = characters[from..(from + count).min(length)].to_vec();
                let to = at(to, length);
                characters.splice(to..to, part);
            }
        }
    }
    characters.into_iter().collect()
}

/// A rule as the generator thinks of it.
#[derive(Clone, Debug)]
struct Sample {
    domains: Vec<String>,
    cidrs: Vec<ipnet::IpNet>,
    ports: Vec<Port>,
    private: bool,
}

fn sample() -> impl Strategy<Value = Sample> {
    let name = "[a-z0-9_-]{1,12}(\\.[a-z0-9-]{1,8}){1,3}\\.[a-z]{2,6}";
    let domain = (prop::sample::select(vec!["", "*.", "**."]), name)
        .prop_map(|(wildcard, name)| format!("{wildcard}{name}"))
        .prop_filter("a broken xn-- label is no name", |name| DomainPattern::parse(name).is_ok());
    let cidr = (any::<std::net::IpAddr>(), 0u8..=128).prop_map(|(address, length)| {
        let address = address.to_canonical();
        let length = if address.is_ipv4() { length % 33 } else { length };
        ipnet::IpNet::new(address, length).unwrap().trunc()
    });
    let cidr = cidr.prop_filter("mapped prefixes are IPv4", |net| match net {
        ipnet::IpNet::V4(_) => true,
        ipnet::IpNet::V6(net) => net.prefix_len() < 96 || net.addr().to_ipv4_mapped().is_none(),
    });
    let port = prop_oneof![
        (1u16..=65535).prop_map(Port::tcp),
        (1u16..=65535).prop_map(Port::udp),
        Just(Port::ICMP)
    ];
    (
        prop::collection::btree_set(domain, 1..5),
        prop::collection::btree_set(cidr, 0..3),
        prop::collection::btree_set(port, 1..3),
        any::<bool>(),
    )
        .prop_map(|(domains, cidrs, ports, private)| Sample {
            domains: domains.into_iter().collect(),
            cidrs: cidrs.into_iter().collect(),
            ports: ports.into_iter().collect(),
            private,
        })
}

fn write(samples: &[Sample], mode: Mode) -> String {
    use std::fmt::Write as _;
    let quoted = |items: Vec<String>| {
        items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata:\n  name: generated\nspec:\n  mode: {}\n  allow:{}\n",
        mode.as_str(),
        if samples.is_empty() { " []" } else { "" },
    );
    for (at, sample) in samples.iter().enumerate() {
        writeln!(text, "  - id: rule-{at}").unwrap();
        writeln!(text, "    domains: [{}]", quoted(sample.domains.clone())).unwrap();
        let texts = |items: &[ipnet::IpNet]| items.iter().map(ToString::to_string).collect();
        writeln!(text, "    cidrs: [{}]", quoted(texts(&sample.cidrs))).unwrap();
        let ports = sample.ports.iter().map(ToString::to_string).collect();
        writeln!(text, "    ports: [{}]", quoted(ports)).unwrap();
        writeln!(text, "    private: {}", sample.private).unwrap();
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_spoiled_file_gives_an_answer(edits in prop::collection::vec(edit(), 1..8)) {
        let text = apply(SEED, &edits);
        if let Err(error) = Profile::from_yaml("spoiled.yaml", &text) {
            let message = error.to_string();
            prop_assert!(message.starts_with("spoiled.yaml:"), "{}", message);
            let PolicyError::Invalid(report) = error else { panic!("{message}") };
            let lines = text.split('\n').count();
            for found in report.diagnostics() {
                prop_assert!((1..=lines + 1).contains(&found.span.line), "{:?}", found);
            }
        }
    }

    #[test]
    fn any_text_gives_an_answer(text in ".{0,200}") {
        prop_assert!(Profile::from_yaml("any.yaml", &text).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_written_profile_reads_back(
        samples in prop::collection::vec(sample(), 0..6),
        audit in any::<bool>(),
    ) {
        let mode = if audit { Mode::Audit } else { Mode::Block };
        let text = write(&samples, mode);
        let profile = match Profile::from_yaml("generated.yaml", &text) {
            Ok(profile) => profile,
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text}"))),
        };
        prop_assert_eq!(profile.mode(), mode);
        for (at, sample) in samples.iter().enumerate() {
            let index = RuleIndex(u16::try_from(at).unwrap());
            let id = format!("rule-{at}");
            prop_assert_eq!(profile.rule_id(index), id);
            for domain in &sample.domains {
                let name = HostName::parse(&domain.replace('*', "x")).unwrap();
                let NameDecision::Allowed(grants) = profile.decide_name(&name) else {
                    return Err(TestCaseError::fail(format!("{name} is refused")));
                };
                let grant = grants.iter().find(|grant| grant.rule == index).unwrap();
                prop_assert_eq!(grant.ports, sample.ports.as_slice());
                prop_assert_eq!(grant.private, sample.private);
            }
            let nets: Vec<_> = profile
                .networks()
                .iter()
                .filter(|network| network.rule == index)
                .map(|network| network.net)
                .collect();
            prop_assert_eq!(&nets, &sample.cidrs);
        }
    }
}

#[test]
fn the_seed_of_the_spoiler_is_a_good_file() {
    Profile::from_yaml("seed.yaml", SEED).unwrap();
}
