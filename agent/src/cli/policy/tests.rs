//! Exit codes and where output goes.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: PolicyArgs,
}

const PROFILE: &str = "apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: test }
spec: { allow: [{ id: a, domains: [a.example.com] }] }
";

/// Runs a command on a good and a bad file; `GOOD` and `BAD` in the arguments are their paths.
#[track_caller]
fn check(arguments: &[&str], code: u8, out: &str, errors: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.yaml"), folder.path().join("bad.yaml"));
    std::fs::write(&good, PROFILE).unwrap();
    std::fs::write(&bad, PROFILE.replace("domains", "domain")).unwrap();
    let arguments = arguments.iter().map(|argument| match *argument {
        "GOOD" => good.clone().into_os_string(),
        "BAD" => bad.clone().into_os_string(),
        other => other.into(),
    });
    let command = Command::try_parse_from(std::iter::once("policy".into()).chain(arguments));
    let (mut found_out, mut found_errors) = (Vec::new(), Vec::new());
    let found = run(&command.unwrap().args, &mut found_out, &mut found_errors);
    assert_eq!(format!("{found:?}"), format!("{:?}", ExitCode::from(code)));
    for (found, expected) in [(found_out, out), (found_errors, errors)] {
        let found = String::from_utf8(found).unwrap();
        assert!(found.contains(expected), "{found:?} is without {expected:?}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{found:?}");
    }
}

#[test]
fn check_fails_if_any_file_is_bad() {
    check(&["check", "GOOD"], 0, "good.yaml: OK: profile test (block); rules: 1", "");
    check(&["check", "BAD"], 1, "", "bad.yaml:4:26: unknown field `domain` in allow rule `a`");
    check(&["check", "BAD", "GOOD"], 1, "good.yaml: OK", "did you mean `domains`?");
    check(&["check", "/nonexistent"], 1, "", "reading profile /nonexistent: No such file");
}

#[test]
fn explain_tells_allowed_refused_and_wrong_apart() {
    check(&["explain", "GOOD", "a.example.com"], 0, "a.example.com:443/tcp: allowed", "");
    check(&["explain", "GOOD", "b.example.com"], 1, "b.example.com:443/tcp: refused", "");
    check(&["explain", "BAD", "a.example.com"], 2, "", "unknown field `domain`");
}

#[test]
fn a_destination_that_is_none_is_an_error_of_usage() {
    let error = Command::try_parse_from(["policy", "explain", "file", "a b"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("`a b` is not a host name"), "{error}");
}
