//! What each key refuses, with the place and the message.

use super::accepted::with_spec;
use crate::policy::*;

/// Line, column and message of everything that is wrong with a file.
pub(super) fn problems(text: &str) -> Vec<(usize, usize, String)> {
    match Profile::from_yaml("test.yaml", text) {
        Ok(_) => Vec::new(),
        Err(PolicyError::Invalid(report)) => report
            .diagnostics()
            .map(|found| (found.span.line, found.span.column, found.problem.to_string()))
            .collect(),
        Err(error) => panic!("{error}"),
    }
}

/// The file has one problem, at this place.
#[track_caller]
fn check_file(text: &str, line: usize, column: usize, message: &str) {
    assert_eq!(problems(text), [(line, column, message.to_owned())], "{text}");
}

/// The spec, from line 5 and column 3 on, has one problem.
#[track_caller]
fn check(spec: &str, line: usize, column: usize, message: &str) {
    check_file(&with_spec(spec), line, column, message);
}

/// One rule with these keys has one problem, in this column of line 5.
#[track_caller]
fn check_rule(keys: &str, column: usize, message: &str) {
    check(&format!("allow: [{{ id: a, {keys} }}]"), 5, column, message);
}

#[test]
fn one_document_of_plain_yaml() {
    let empty = "the file is empty; a profile begins with `apiVersion: weir.dev/v1`";
    check_file("", 1, 1, empty);
    check_file("# nothing\n\n", 1, 1, empty);
    let second = "a second document begins here; a file holds exactly one profile";
    check_file(&format!("{}---\na: b\n", with_spec("{}")), 6, 1, second);
    check_file("[1]\n---\n[2]\n", 2, 1, second);
    let alias = "anchors are not supported; write the value out where it is needed";
    check_file("a: &x [1]\nb: *x\n", 1, 7, alias);
    check_file("a: *x\n", 1, 4, "aliases are not supported; write the value out");
    check_file("a: !!str b\n", 1, 10, "tags are not supported; write the plain value");
    let directive = "directives are not supported; leave the `%` line out";
    check_file("%YAML 1.2\n---\na: b\n", 1, 1, directive);
    check_file("{ [a]: b }", 1, 3, "a key must be plain text, not a list or map");
    check_file("- a\n", 1, 1, "the profile: expected a map, found a list");
    check_file("text", 1, 1, "the profile: expected a map, found text");
}

#[test]
fn hostile_yaml_is_bounded() {
    let deep = "lists and maps are nested more than 16 deep";
    check_file(&"[".repeat(100_000), 1, 17, deep);
    check_file(&"{a: ".repeat(10_000), 1, 65, deep);
    check_file(&"- ".repeat(10_000), 1, 33, deep);
    let many = format!("[{}]", "a,".repeat(500_000));
    let found = problems(&many);
    assert_eq!(found[0].2, "the file holds more than 400000 YAML values");
    let huge = " ".repeat(limits::FILE_BYTES + 1);
    let error = Profile::from_yaml("test.yaml", &huge).unwrap_err();
    assert_eq!(error.to_string(), "test.yaml: a profile is at most 8 MiB");
}

#[test]
fn the_frame() {
    let file = |from: &str, to: &str| with_spec("{}").replace(from, to);
    check_file(
        &file("weir.dev/v1", "weir.dev/v2"),
        1,
        13,
        "`apiVersion`: unknown value `weir.dev/v2`, expected `weir.dev/v1`",
    );
    check_file(
        &file("kind: EgressProfile", "kind: Pod"),
        2,
        7,
        "`kind`: unknown value `Pod`, expected `EgressProfile`",
    );
    check_file(&file("kind: EgressProfile\n", ""), 1, 1, "missing field `kind` in the profile");
    check_file(
        &file("metadata: { name: test }", "metadata: {}"),
        3,
        11,
        "missing field `name` in `metadata`",
    );
    check_file(&file("{ name: test }", "test"), 3, 11, "`metadata`: expected a map, found text");
    check_file(
        &file("name: test", "name: test, labels: {}"),
        3,
        25,
        "unknown field `labels` in `metadata`",
    );
    check_file(
        &file("apiVersion:", "apiversion:"),
        1,
        1,
        "unknown field `apiversion` in the profile; did you mean `apiVersion`?",
    );
}

#[test]
fn profile_names() {
    for bad in ["Build", "a//b", "/a", "a/", "-a", "a b", "ä", &"a".repeat(129)] {
        let found = problems(&with_spec("{}").replace("name: test", &format!("name: '{bad}'")));
        assert_eq!(found.len(), 1, "{bad}");
        assert!(found[0].2.contains("is not a profile name: use 1 to 128 of"), "{bad}: {found:?}");
    }
    for good in ["a", "build/node-22", "a.b_c/d", "0", &"a".repeat(128)] {
        let text = with_spec("{}").replace("name: test", &format!("name: {good}"));
        assert_eq!(problems(&text), [], "{good}");
    }
}

#[test]
fn unknown_fields_name_the_nearest() {
    check("alow: []", 5, 3, "unknown field `alow` in `spec`; did you mean `allow`?");
    check("Mode: block", 5, 3, "unknown field `Mode` in `spec`; did you mean `mode`?");
    check("regexp: x", 5, 3, "unknown field `regexp` in `spec`");
    check_rule(
        "domain: [a.example.com]",
        20,
        "unknown field `domain` in allow rule `a`; did you mean `domains`?",
    );
    check(
        "dns: { max_ttl: 1h }",
        5,
        10,
        "unknown field `max_ttl` in `dns`; did you mean `maxTtl`?",
    );
    check("deny: { cidrs: [] }", 5, 11, "unknown field `cidrs` in `deny`");
    check("<<: {}", 5, 3, "unknown field `<<` in `spec`");
    let later = "belongs to the node agent and is not supported by this version";
    check("select: { gitlab: {} }", 5, 3, &format!("`select` {later}"));
    check("credwatch: []", 5, 3, &format!("`credwatch` {later}"));
}

#[test]
fn a_field_is_given_once() {
    check(
        "mode: block\nmode: audit",
        6,
        3,
        "duplicate field `mode` in `spec`; it was first given in line 5",
    );
    check_rule(
        "domains: [a.example.com], domains: [b.example.com]",
        46,
        "duplicate field `domains` in allow rule `a`; it was first given in line 5",
    );
}

#[test]
fn wrong_types() {
    check("allow:", 5, 8, "`allow`: expected a list of rules, found nothing");
    check("allow: {}", 5, 10, "`allow`: expected a list of rules, found a map");
    check("allow: [a]", 5, 11, "allow rule 1: expected a map, found text");
    check("mode: [block]", 5, 9, "`mode`: expected text, found a list");
    check("mode: ~", 5, 9, "`mode`: expected text, found nothing");
    check("dns: 30s", 5, 8, "`dns`: expected a map, found text");
    check(
        "inbound: node",
        5,
        12,
        "`inbound`: expected a list of `node` and network prefixes, found text",
    );
    check_rule(
        "domains: a.example.com",
        29,
        "`domains` of allow rule `a`: expected a list of host names, found text",
    );
    check_rule(
        "domains: [{ a: b }]",
        30,
        "an entry of `domains` of allow rule `a`: expected text, found a map",
    );
    check_rule(
        "domains: [null]",
        30,
        "an entry of `domains` of allow rule `a`: expected text, found nothing",
    );
    for (private, found) in [("yes", "text"), ("\"true\"", "quoted text"), ("", "nothing")] {
        check_rule(
            &format!("domains: [a.example.com], private: {private}"),
            if private.is_empty() { 53 } else { 55 },
            &format!("`private` of allow rule `a`: expected `true` or `false`, found {found}"),
        );
    }
}

#[test]
fn modes() {
    check(
        "mode: adit",
        5,
        9,
        "`mode`: unknown value `adit`, expected `block` or `audit`; did you mean `audit`?",
    );
    check("mode: off", 5, 9, "`mode`: unknown value `off`, expected `block` or `audit`");
}

#[test]
fn rule_ids() {
    check("allow: [{ domains: [a.example.com] }]", 5, 11, "missing field `id` in allow rule 1");
    check(
        "allow:\n- { id: a, domains: [a.example.com] }\n- { id: a, domains: [b.example.com] }",
        7,
        11,
        "duplicate rule id `a`; it was first used in line 6",
    );
    for reserved in ["deny", "default-deny"] {
        let message = format!(
            "the rule id `{reserved}` is reserved; events use it for refusals that no allow rule caused"
        );
        check(&format!("allow: [{{ id: {reserved}, domains: [a.b] }}]"), 5, 17, &message);
    }
    for bad in ["A", "a b", "a/b", "-a", &"a".repeat(65)] {
        let found = problems(&with_spec(&format!("allow: [{{ id: '{bad}', domains: [a.b] }}]")));
        assert!(found[0].2.contains("is not a rule id: use 1 to 64 of"), "{bad}: {found:?}");
    }
}

#[test]
fn rules_that_allow_nothing() {
    let nothing = "allow rule `a` names neither `domains` nor `cidrs`, so it allows nothing; remove it or fill it";
    check("allow: [{ id: a }]", 5, 11, nothing);
    check("allow: [{ id: a, domains: [], cidrs: [] }]", 5, 11, nothing);
    check_rule(
        "domains: [a.b], ports: []",
        11,
        "allow rule `a` lists no port, so it allows nothing; leave `ports` out for 443/tcp",
    );
    check_rule(
        "cidrs: [10.0.0.0/8], private: true",
        41,
        "`private` speaks about answers for `domains`, and allow rule `a` has none",
    );
}

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
