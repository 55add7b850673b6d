//! Which keys and shapes are refused, with the place and the message.

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
pub(super) fn check_file(text: &str, line: usize, column: usize, message: &str) {
    assert_eq!(problems(text), [(line, column, message.to_owned())], "{text}");
}

/// The spec, from line 5 and column 3 on, has one problem.
#[track_caller]
pub(super) fn check(spec: &str, line: usize, column: usize, message: &str) {
    check_file(&with_spec(spec), line, column, message);
}

/// One rule with these keys has one problem, in this column of line 5.
#[track_caller]
pub(super) fn check_rule(keys: &str, column: usize, message: &str) {
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
fn what_processes_may_do_is_strict_too() {
    check(
        "families: [pakcet]",
        5,
        14,
        "`families`: unknown value `pakcet`, expected a family that leads past IP, as `packet` or `vsock`; did you mean `packet`?",
    );
    check(
        "families: [xdp, xdp]",
        5,
        19,
        "duplicate entry `xdp` in `families`; it was first given in line 5",
    );
    check("credwatch: {}", 5, 14, "missing field `paths` in `credwatch`");
    check(
        "credwatch: { paths: [] }",
        5,
        3,
        "`credwatch` names no path, so it watches nothing; remove it or fill `paths`",
    );
    check(
        "credwatch: { paths: [.npmrc] }",
        5,
        24,
        "`.npmrc` is not a path that can be watched: begin it with `/`, or with `**/` for any folder",
    );
}
