//! What stands in comments: evidence, and all that is in no rule.

use super::*;
use crate::policy::suggest::tests::{collect, observation, parse, seen, with_wildcards};
use crate::policy::suggest::{LeftOut, ProjectPath, Selector, Suggestion, Wildcards};

/// Everything that has ever broken a text format.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "x\n  allow: [{ id: evil, cidrs: [0.0.0.0/0] }]",
        "\r\n---\napiVersion: weir.dev/v1",
        "\u{1b}[31m\u{9b}2J\u{7}",
        "\"'\\` # : - {}[],&*!|>%@",
        "</script><script>alert(1)</script>",
        "\u{2028}\u{2029}\u{85}\u{feff}\u{202e}",
        "\u{0}\t",
        "invalid \u{fffd} text",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("\u{1f600}\n".repeat(64 * 1024 / 5));
    texts
}

#[test]
fn jobs_are_counted_and_some_are_named() {
    let mut suggestion = Suggestion::default();
    for number in 1..=5 {
        let mut one = observation(Some("a.example.com"), "203.0.113.7", Port::HTTPS, "npm");
        one.seen.job = Some(format!("https://gitlab.example.com/group/app/-/jobs/{number}"));
        suggestion.reached(&one);
        suggestion.reached(&one);
    }
    let text = with_wildcards(&suggestion);
    let expected = "        # 30 connections by npm; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z\n        \
        # in 5 jobs: https://gitlab.example.com/group/app/-/jobs/1, https://gitlab.example.com/group/app/-/jobs/2, \
        https://gitlab.example.com/group/app/-/jobs/3, 2 more\n        - \"a.example.com\"\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_was_refused_is_told_and_not_allowed() {
    let mut suggestion =
        collect(&[observation(Some("a.example.com"), "203.0.113.7", Port::HTTPS, "npm")]);
    let job = Some("https://gitlab.example.com/group/app/-/jobs/1");
    suggestion.refused_name("c2.example.net", "domain_not_in_allowlist", &seen("node", job));
    suggestion.refused(&observation(None, "2001:db8::7", Port::tcp(25), "nc"), "direct_ip_no_dns");
    let smtp = observation(Some("a.example.com"), "203.0.113.7", Port::tcp(25), "nc");
    suggestion.refused(&smtp, "port_not_allowed");
    suggestion.refused(&smtp, "expired");
    // Allowed by now, or never to be opened.
    suggestion.refused_name("a.example.com", "domain_not_in_allowlist", &seen("node", None));
    suggestion
        .refused(&observation(None, "169.254.169.254", Port::tcp(80), "curl"), "metadata_service");
    let text = with_wildcards(&suggestion);
    let expected = r#"      ports: ["443/tcp"]
# Left out: metadata services and DNS other than weir's, which no profile can open
#   169.254.169.254 80/tcp
# Refused, so not suggested; add those that are wanted, with the ports they need:
#   - "a.example.com" at 25/tcp  # expired, port_not_allowed
#       6 connections by nc; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
#   - "c2.example.net"  # domain_not_in_allowlist
#       3 questions by node; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
#       in 1 job: https://gitlab.example.com/group/app/-/jobs/1
#   - "2001:db8::7/128" at 25/tcp  # direct_ip_no_dns
#       3 connections by nc; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
"#;
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(parse(&text).counts().names, 1);
}

#[test]
fn what_was_only_asked_for_is_told() {
    let mut suggestion =
        collect(&[observation(Some("a.example.com"), "203.0.113.7", Port::HTTPS, "npm")]);
    for name in ["a.example.com", "telemetry.example.net"] {
        suggestion.asked(name, &seen("npm", None));
    }
    let text = with_wildcards(&suggestion);
    let expected = r#"# Asked for and never connected to; add those that are wanted:
#   - "telemetry.example.net"
#       3 questions by npm; 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
"#;
    assert!(text.ends_with(expected), "{text}");
    parse(&text);
}

#[test]
fn no_more_than_some_are_told() {
    let mut suggestion = Suggestion::default();
    for n in 0..60 {
        suggestion.asked(&format!("a{n}.example.com"), &seen("npm", None));
        suggestion.refused_name(&format!("r{n}.example.com"), "expired", &seen("npm", None));
        suggestion.leave_out(LeftOut::Protocol, &format!("203.0.113.{n} ip-132"));
    }
    let text = with_wildcards(&suggestion);
    assert_eq!(text.matches("#   and 10 more\n").count(), 3, "{text}");
    assert_eq!(parse(&text).counts().rules, 0);
}

#[test]
fn notes_and_a_selection_stand_above_the_rules() {
    let heading = Heading {
        name: "project/group/app".to_owned(),
        selector: ProjectPath::parse("group/app").map(Selector::GitlabProject),
        notes: vec!["2 jobs; hostile \n text".to_owned()],
    };
    let text = Suggestion::default().write(&heading, Wildcards::default()).text;
    let expected = "# Suggested by weir from what was seen. Review every entry before use.\n\
        # 2 jobs; hostile \\n text\napiVersion: weir.dev/v1\nkind: EgressProfile\n\
        metadata: { name: \"project/group/app\" }\nspec:\n  mode: block\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("select: { gitlab: { project: \"group/app\" } }\n"), "{text}");
    assert_eq!(parse(&text).name(), "project/group/app");
    let heading = Heading { selector: Some(Selector::GitlabProjectId(42)), ..Heading::default() };
    let text = Suggestion::default().write(&heading, Wildcards::default()).text;
    assert!(text.contains("select: { gitlab: { projectId: 42 } }\n"), "{text}");
    parse(&text);
}

#[test]
fn a_path_that_could_mean_something_else_selects_nothing() {
    for path in ["", "app", "a//b", "a/../b", "a/*", "a/b\" }", "a/b\nc", "ä/b", "/a/b", "a/b/"] {
        assert_eq!(ProjectPath::parse(path), None, "{path:?}");
    }
    assert!(ProjectPath::parse("Group/sub.group/my-app_2").is_some());
}

#[test]
fn hostile_text_is_data_in_every_comment() {
    for hostile in hostile() {
        let mut suggestion = Suggestion::default();
        let mut one = observation(Some("a.example.com"), "203.0.113.7", Port::HTTPS, &hostile);
        one.seen.job = Some(hostile.clone());
        suggestion.reached(&one);
        suggestion.asked("b.example.com", &one.seen);
        suggestion.asked(&hostile, &one.seen);
        suggestion.refused_name("c.example.com", "expired", &one.seen);
        suggestion.refused_name(&hostile, "expired", &one.seen);
        suggestion.leave_out(LeftOut::Protocol, &hostile);
        let heading =
            Heading { name: hostile.clone(), selector: None, notes: vec![hostile.clone()] };
        let text = suggestion.write(&heading, Wildcards::default()).text;
        let profile = parse(&text);
        let counts = profile.counts();
        assert_eq!(
            (profile.name(), counts.rules, counts.names, counts.prefixes),
            ("suggested", 1, 1, 0)
        );
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{text:?}");
        assert!(text.len() < 8 * 1024, "{} bytes", text.len());
    }
}
