//! The merged list, and a trie's view of it, against a linear scan over the rules.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

/// Every port that some rule grants on an address, with the rule of the narrowest prefix.
fn scan(rules: &[NetworkRule], address: IpAddr) -> Vec<(Port, RuleIndex)> {
    let address = address.to_canonical();
    let mut covering: Vec<_> = rules.iter().filter(|rule| rule.net.contains(&address)).collect();
    covering.sort_by_key(|rule| (std::cmp::Reverse(rule.net.prefix_len()), rule.rule));
    let mut ports: Vec<(Port, RuleIndex)> = Vec::new();
    for rule in covering {
        for port in &rule.ports {
            if ports.iter().all(|(known, _)| known != port) {
                ports.push((*port, rule.rule));
            }
        }
    }
    ports
}

/// What the kernel does: one trie of 128-bit keys, IPv4 as IPv4-mapped, the longest prefix wins.
fn longest_prefix(networks: &[KernelNetwork], address: IpAddr) -> Vec<(Port, RuleIndex)> {
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let key = |net: IpNet| {
        let extra = if matches!(net, IpNet::V4(_)) { 96 } else { 0 };
        (bits(net.addr()), u32::from(net.prefix_len()) + extra)
    };
    let matching = networks.iter().filter(|network| {
        let (prefix, length) = key(network.net);
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        bits(address) & mask == prefix & mask
    });
    let longest = matching.max_by_key(|network| key(network.net).1);
    longest.map(|network| network.ports.clone()).unwrap_or_default()
}

fn sorted(ports: Vec<(Port, RuleIndex)>) -> BTreeSet<(Port, RuleIndex)> {
    ports.into_iter().collect()
}

fn rule(net: &str, ports: &[u16], rule: u16) -> NetworkRule {
    let ports = ports.iter().copied().map(Port::tcp).collect();
    NetworkRule { net: net.parse().unwrap(), ports, rule: RuleIndex(rule) }
}

#[track_caller]
fn check(rules: &[NetworkRule], address: &str, port: u16, expected: AddressDecision) {
    let networks = Networks::new(rules.to_vec()).unwrap();
    assert_eq!(networks.decide(address.parse().unwrap(), Port::tcp(port)), expected, "{address}");
}

#[test]
fn a_narrow_prefix_adds_to_the_wide_one() {
    let rules = [rule("10.0.0.0/8", &[80], 0), rule("10.1.0.0/16", &[443], 1)];
    check(&rules, "10.1.2.3", 443, AddressDecision::Allowed { rule: RuleIndex(1) });
    check(&rules, "10.1.2.3", 80, AddressDecision::Allowed { rule: RuleIndex(0) });
    check(&rules, "10.2.0.1", 443, AddressDecision::PortNotAllowed);
    check(&rules, "11.0.0.1", 443, AddressDecision::NotListed);
}

#[test]
fn a_mapped_address_is_its_ipv4_address() {
    let rules = [rule("10.0.0.0/8", &[80], 0)];
    check(&rules, "::ffff:10.0.0.1", 80, AddressDecision::Allowed { rule: RuleIndex(0) });
    check(&rules, "::ffff:11.0.0.1", 80, AddressDecision::NotListed);
}

#[test]
fn all_of_ipv6_is_nothing_of_ipv4() {
    let rules = [rule("::/0", &[80], 0)];
    check(&rules, "2001:db8::1", 80, AddressDecision::Allowed { rule: RuleIndex(0) });
    check(&rules, "192.0.2.1", 80, AddressDecision::NotListed);
    check(&rules, "::ffff:192.0.2.1", 80, AddressDecision::NotListed);
    let kernel = Networks::new(rules.to_vec()).unwrap().for_kernel();
    assert_eq!(longest_prefix(&kernel, "192.0.2.1".parse().unwrap()), []);
}

#[test]
fn too_many_merged_ports_name_the_prefix() {
    let wide: Vec<u16> = (1..=10).collect();
    let narrow: Vec<u16> = (11..=17).collect();
    let rules = vec![rule("10.0.0.0/8", &wide, 0), rule("10.1.0.0/16", &narrow, 1)];
    let error = Networks::new(rules.clone()).unwrap_err();
    assert_eq!((error.net, error.ports.len()), ("10.1.0.0/16".parse().unwrap(), 17));
    let fits = [rules[0].clone(), rule("10.1.0.0/16", &narrow[..6], 1)];
    assert!(Networks::new(fits.to_vec()).is_ok());
}

/// Prefixes and addresses from a small space, so that they nest and meet often.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = (0u32..64).prop_map(|low| IpAddr::from(Ipv4Addr::from(low << 26 | low)));
    let v6 = (0u128..64).prop_map(|low| IpAddr::from(Ipv6Addr::from(low << 122 | low)));
    let mapped =
        (0u32..64).prop_map(|low| IpAddr::from(Ipv4Addr::from(low << 26 | low).to_ipv6_mapped()));
    prop_oneof![v4, v6, mapped]
}

fn network() -> impl Strategy<Value = NetworkRule> {
    let ports = prop::collection::btree_set((1u16..5).prop_map(Port::tcp), 1..4);
    let length = prop::sample::select(vec![0u8, 1, 2, 3, 6, 20, 30, 32, 96, 126, 128]);
    (address(), length, ports, 0u16..6).prop_map(|(address, length, ports, rule)| {
        let address = address.to_canonical();
        let length = if address.is_ipv4() { length.min(32) } else { length };
        let net = IpNet::new(address, length).unwrap().trunc();
        NetworkRule { net, ports: ports.into_iter().collect(), rule: RuleIndex(rule) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_lookup_equals_the_linear_scan(
        rules in prop::collection::vec(network(), 0..20),
        addresses in prop::collection::vec(address(), 1..20),
    ) {
        let networks = Networks::new(rules.clone()).unwrap();
        let kernel = networks.for_kernel();
        for address in addresses {
            let expected = scan(&rules, address);
            prop_assert_eq!(
                sorted(longest_prefix(&kernel, address)), sorted(expected.clone()), "{}", address
            );
            for number in 1..6 {
                let port = Port::tcp(number);
                let granted = expected.iter().find(|(known, _)| *known == port);
                let decision = match granted {
                    Some((_, rule)) => AddressDecision::Allowed { rule: *rule },
                    None if expected.is_empty() => AddressDecision::NotListed,
                    None => AddressDecision::PortNotAllowed,
                };
                prop_assert_eq!(networks.decide(address, port), decision, "{} {}", address, port);
            }
        }
    }
}
