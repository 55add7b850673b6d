//! Every cause, and how destinations are typed.

use super::*;
use crate::policy::target::TargetError;

const PROFILE: &str = "apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: build/node-22 }
spec:
  allow:
    - { id: registry, domains: [registry.example.com, '*.cdn.example.com'] }
    - { id: quic, domains: [registry.example.com], ports: [443/udp] }
    - { id: cluster, cidrs: [10.96.0.0/16, '2001:db8::/32'], ports: [443, icmp] }
    - { id: wide, cidrs: [0.0.0.0/0], ports: [8443] }
  deny: { domains: ['*.bad.example.com'] }
";

fn ask(destination: &str) -> Explanation {
    let profile = Profile::from_yaml("test.yaml", PROFILE).unwrap();
    explain(&profile, &destination.parse().unwrap())
}

/// The rule, and whether it allows.
#[track_caller]
fn check(destination: &str, allowed: bool, rule: &str, cause: &Cause) {
    let found = ask(destination);
    assert_eq!(
        (found.is_allowed(), found.rule.as_str(), &found.cause),
        (allowed, rule, cause),
        "{destination}"
    );
}

#[test]
fn names() {
    let allowed = |pattern: &str| Cause::NameAllowed { pattern: pattern.to_owned() };
    check("registry.example.com", true, "registry", &allowed("registry.example.com"));
    check("Registry.Example.com.:443", true, "registry", &allowed("registry.example.com"));
    check("registry.example.com:443/udp", true, "quic", &allowed("registry.example.com"));
    check("a.cdn.example.com", true, "registry", &allowed("*.cdn.example.com"));
    check("cdn.example.com", false, "default-deny", &Cause::NameNotListed);
    let ports = vec![Port::HTTPS, Port::udp(443)];
    check("registry.example.com:80", false, "default-deny", &Cause::PortNotAllowed { ports });
    let pattern = "*.bad.example.com".to_owned();
    check("a.bad.example.com", false, "deny", &Cause::NameDenied { pattern });
}

#[test]
fn addresses() {
    let allowed = |net: &str| Cause::AddressAllowed { net: net.parse().unwrap() };
    check("10.96.0.1", true, "cluster", &allowed("10.96.0.0/16"));
    check("10.96.0.1:icmp", true, "cluster", &allowed("10.96.0.0/16"));
    check("10.96.0.1:8443", true, "wide", &allowed("0.0.0.0/0"));
    check("::ffff:10.96.0.1", true, "cluster", &allowed("10.96.0.0/16"));
    check("[2001:db8::1]:443/tcp", true, "cluster", &allowed("2001:db8::/32"));
    check("[2001:db8::1]", true, "cluster", &allowed("2001:db8::/32"));
    check("2001:db9::1", false, "default-deny", &Cause::AddressNotListed);
    let ports = vec![Port::tcp(8443)];
    check("192.0.2.1", false, "default-deny", &Cause::PortNotAllowed { ports });
}

#[test]
fn hard_blocks_stand_ahead_of_every_rule() {
    let blocked = |block| Cause::HardBlock(block);
    for address in [
        "169.254.169.254:8443",
        "169.254.170.2:8443",
        "169.254.170.23:8443",
        "100.100.100.200:8443",
        "168.63.129.16:8443",
        "192.0.0.192:8443",
        "[::ffff:169.254.169.254]:8443",
        "[fd00:ec2::254]:80",
        "[fd00:ec2::23]:80",
        "[fd20:ce::254]:80",
    ] {
        check(address, false, "default-deny", &blocked(HardBlock::Metadata));
    }
    check("10.96.0.1:53/udp", false, "default-deny", &blocked(HardBlock::Dns));
    check("registry.example.com:53", false, "default-deny", &blocked(HardBlock::Dns));
    check("10.96.0.1:853", false, "default-deny", &blocked(HardBlock::Dot));
    check("10.96.0.1:853/udp", false, "default-deny", &blocked(HardBlock::Dot));
}

#[test]
fn loopback_passes() {
    for address in ["127.0.0.1:53", "127.9.9.9", "[::1]:853", "::ffff:127.0.0.1"] {
        check(address, true, "default-deny", &Cause::Loopback);
    }
}

#[test]
fn the_text_names_verdict_rule_and_pattern() {
    assert_eq!(
        ask("a.cdn.example.com").to_string(),
        "a.cdn.example.com:443/tcp: allowed
  profile  build/node-22 (block)
  rule     registry
  pattern  *.cdn.example.com
  why      the rule allows the name on this port, at the addresses it resolves to
"
    );
    assert_eq!(
        ask("[2001:db8::1]:80").to_string(),
        "[2001:db8::1]:80/tcp: refused
  profile  build/node-22 (block)
  rule     default-deny
  reason   port_not_allowed
  why      rules cover the destination, but only with 443/tcp, icmp
"
    );
}

#[test]
fn audit_mode_is_said() {
    let profile = Profile::deny_all().with_mode(Mode::Audit);
    let text = explain(&profile, &"example.com".parse().unwrap()).to_string();
    assert!(
        text.starts_with(
            "example.com:443/tcp: refused (in audit mode it passes and is reported)\n"
        )
    );
}

#[test]
fn destinations_that_are_none() {
    let check = |text: &str, expected: &str| {
        assert_eq!(text.parse::<Target>().unwrap_err().to_string(), expected);
    };
    check("", "`` is not a host name: it is empty");
    check("a b", "`a b` is not a host name: ' ' cannot be part of a host name");
    check("*.example.com", "`*.example.com` is not a host name: a wildcard cannot stand here");
    check("a:0", "`0` is not a port: a port is a number from 1 to 65535");
    check("a:443/sctp", "`443/sctp` is not a port: the protocol after `/` is `tcp` or `udp`");
    for text in ["a:b:c", "[::1", "[a]:1", "[10.0.0.1]:1", "[::1]443", "2001:db8::1:x"] {
        assert!(matches!(text.parse::<Target>(), Err(TargetError::Ipv6(_))), "{text}");
    }
}
