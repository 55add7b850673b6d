//! Which values are refused, with the place and the message; and how much of them.

use super::accepted::with_spec;
use super::refused::{check, check_rule, problems};

#[test]
fn domains() {
    let check = |entry: &str, why: &str| {
        let message = format!("`{entry}` is not a host name: {why}");
        check_rule(&format!("domains: [\"{entry}\"]"), 30, &message);
    };
    check("", "it is empty");
    check("a..b", "it has an empty label");
    check("exa mple.com", "' ' cannot be part of a host name");
    check("https://a.b", "':' cannot be part of a host name");
    check("a.b:443", "':' cannot be part of a host name");
    check("10.0.0.1", "it reads as an address; addresses go under `cidrs`");
    check(&"a".repeat(64), "a label is longer than 63 bytes (64)");
    let bare =
        "a wildcard alone would allow every name; put it in front of a domain, `*.example.com`";
    check("*", bare);
    check("**", bare);
    let single = |name: &str| {
        format!(
            "a wildcard over a single label (`{name}`) would allow a whole top-level domain; name at least two labels behind it"
        )
    };
    check("*.com", &single("com"));
    check("**.COM.", &single("com"));
    let misplaced = "a wildcard can only be the whole leftmost label: `*.example.com` (one label) or `**.example.com` (one or more)";
    for entry in ["a.*.b", "a*.example.com", "*a.example.com", "*.*.b.c", "***.b.c", "a.b.*"] {
        check(entry, misplaced);
    }
}

#[test]
fn ports() {
    let check = |entry: &str, why: &str| {
        let message = format!("`{entry}` is not a port: {why}");
        check_rule(&format!("domains: [a.b], ports: ['{entry}']"), 44, &message);
    };
    for entry in ["0", "65536", "99999999999999999999", "-1", "0/udp"] {
        check(entry, "a port is a number from 1 to 65535");
    }
    for entry in ["", "https", "0443", "+443", "443.0", "0x1bb", "4 43", "443 /tcp", "4_43"] {
        check(entry, "write a port as `443`, `443/udp` or `icmp`");
    }
    check("80-90", "port ranges are not supported; list each port");
    check("443/sctp", "the protocol after `/` is `tcp` or `udp`");
    check("443/TCP", "the protocol after `/` is `tcp` or `udp`");
    check_rule(
        "domains: [a.b], ports: [443, \"443/tcp\"]",
        49,
        "duplicate entry `443/tcp` in `ports` of allow rule `a`; it was first given in line 5",
    );
    let seventeen: Vec<String> = (1..=17).map(|port| port.to_string()).collect();
    let found = problems(&with_spec(&format!(
        "allow: [{{ id: a, domains: [a.b], ports: [{}] }}]",
        seventeen.join(", ")
    )));
    assert_eq!(found[0].2, "`ports` of allow rule `a`: 17 are too many, the most is 16");
}

#[test]
fn cidrs() {
    let check = |entry: &str, why: &str| {
        let message = format!("`{entry}` is not a network prefix: {why}");
        check_rule(&format!("cidrs: ['{entry}']"), 28, &message);
    };
    let syntax = "write a prefix as `10.96.0.0/16` or `2001:db8::/32`";
    for entry in ["", "a", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08", "::1%eth0/128"] {
        check(entry, syntax);
    }
    check("10.96.0.1/16", "host bits are set; did you mean `10.96.0.0/16`?");
    check("2001:db8::1/32", "host bits are set; did you mean `2001:db8::/32`?");
    check("10.0.0.0/33", "the prefix length is at most 32");
    check("::/129", "the prefix length is at most 128");
    check("10.0.0.1", "a prefix length is missing; for this one address write `10.0.0.1/32`");
    check("::1", "a prefix length is missing; for this one address write `::1/128`");
    check_rule(
        "cidrs: [10.0.0.0/8, \"::ffff:10.0.0.0/104\"]",
        40,
        "duplicate entry `10.0.0.0/8` in `cidrs` of allow rule `a`; it was first given in line 5",
    );
}

#[test]
fn ports_of_prefixes_that_cover_each_other() {
    let list = |from: u16, to: u16| {
        (from..=to).map(|port| port.to_string()).collect::<Vec<_>>().join(", ")
    };
    let spec = format!(
        "allow:\n- {{ id: wide, cidrs: [10.0.0.0/8], ports: [{}] }}\n- {{ id: narrow, cidrs: [10.1.0.0/16], ports: [{}] }}",
        list(1, 10),
        list(11, 17),
    );
    check(
        &spec,
        7,
        27,
        "the rules that cover 10.1.0.0/16 (`narrow`, `wide`) allow 17 distinct ports there together, the most is 16",
    );
}

#[test]
fn rules_that_cover_one_name() {
    let rules: Vec<_> =
        (0..33).map(|n| format!("{{ id: r{n}, domains: ['**.example.com'] }}")).collect();
    let spec = format!("allow: [{}]", rules.join(", "));
    let message = "33 rules cover the name pattern `**.example.com`, the most is 32";
    assert_eq!(problems(&with_spec(&spec))[0].2, message);
}

#[test]
fn dns_settings() {
    let check_duration = |key: &str, entry: &str, why: &str| {
        let message =
            format!("`dns.{key}`: `{entry}` is not a duration that can be used here: {why}");
        let column = 13 + key.len() - 1;
        check(&format!("dns: {{ {key}: {entry} }}"), 5, column, &message);
    };
    let syntax = "write a whole number and a unit, `s`, `m` or `h`, as in `30s`";
    for entry in ["30", "s", "1d", "1.5h", "30ms", "-1s", "30 s", "30S"] {
        check_duration("grace", entry, syntax);
    }
    check_duration("grace", "11m", "it must be from 0s to 10m");
    check_duration("grace", "99999999999999999999h", "it must be from 0s to 10m");
    check_duration("maxTtl", "0s", "it must be from 1s to 24h");
    check_duration("maxTtl", "25h", "it must be from 1s to 24h");
    for count in ["0", "10001", "-1", "many", "1e3", "007"] {
        let message = format!(
            "`dns.namesPerWildcard`: expected a whole number from 1 to 10000, found `{count}`"
        );
        check(&format!("dns: {{ namesPerWildcard: {count} }}"), 5, 28, &message);
    }
}

#[test]
fn inbound() {
    check(
        "inbound: [nod]",
        5,
        13,
        "`inbound`: unknown value `nod`, expected `node` or a network prefix; did you mean `node`?",
    );
    check(
        "inbound: [10.0.0.1/8]",
        5,
        13,
        "`10.0.0.1/8` is not a network prefix: host bits are set; did you mean `10.0.0.0/8`?",
    );
    check(
        "inbound: [node, node]",
        5,
        19,
        "duplicate entry `node` in `inbound`; it was first given in line 5",
    );
}

#[test]
fn lists_have_their_limits() {
    let rules: Vec<_> = (0..1025).map(|n| format!("- {{ id: r{n}, domains: [a.b] }}")).collect();
    let found = problems(&with_spec(&format!("allow:\n{}", rules.join("\n"))));
    assert!(
        found.iter().any(|(line, _, message)| *line == 1030
            && message == "allow rules: 1025 are too many, the most is 1024"),
        "{found:?}"
    );
    let cidrs: Vec<_> = (0..4097).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect();
    let found =
        problems(&with_spec(&format!("allow: [{{ id: a, cidrs: [{}] }}]", cidrs.join(","))));
    assert_eq!(found[0].2, "cidrs: 4097 are too many, the most is 4096");
    let wildcards: Vec<_> = (0..16_385).map(|n| format!("'*.h{n}.b'")).collect();
    let found =
        problems(&with_spec(&format!("allow: [{{ id: a, domains: [{}] }}]", wildcards.join(","))));
    assert_eq!(found[0].2, "wildcards: 16385 are too many, the most is 16384");
}
