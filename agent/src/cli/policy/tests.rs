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

/// Runs a command on a good and a bad file; `GOOD`, `BAD` and `FOLDER` in the
/// arguments are their paths and that of the folder with both.
#[track_caller]
fn check(arguments: &[&str], code: u8, out: &str, errors: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.yaml"), folder.path().join("bad.yaml"));
    std::fs::write(&good, PROFILE).unwrap();
    std::fs::write(&bad, PROFILE.replace("domains", "domain")).unwrap();
    let arguments = arguments.iter().map(|argument| match *argument {
        "GOOD" => good.clone().into_os_string(),
        "BAD" => bad.clone().into_os_string(),
        "FOLDER" => folder.path().as_os_str().to_owned(),
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
    check(&["check", "FOLDER"], 1, "", "bad.yaml:4:26: unknown field `domain` in allow rule `a`");
    check(
        &["check", "/nonexistent/here"],
        1,
        "",
        "reading profile /nonexistent/here: No such file",
    );
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

/// A policy folder with profiles of these names and specs.
fn folder(profiles: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (at, (name, spec)) in profiles.iter().enumerate() {
        let text = format!(
            "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: {name} }}\nspec: {spec}\n"
        );
        std::fs::write(folder.path().join(format!("{at}.yaml")), text).unwrap();
    }
    folder
}

/// Exit code, output, errors.
fn which(arguments: &[&str]) -> (ExitCode, String, String) {
    let command = Command::try_parse_from([&["policy", "which"], arguments].concat()).unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = run(&command.args, &mut out, &mut errors);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn which_names_the_profile_and_why_the_others_are_not_taken() {
    let folder = folder(&[
        ("payments", "{ select: { gitlab: { project: fintech/payments-api, refs: main } } }"),
        ("fintech", "{ mode: audit, select: { gitlab: { group: fintech } } }"),
        ("ci", "{ select: { namespaces: [ci] } }"),
    ]);
    let dir = folder.path().to_str().unwrap();
    let arguments = ["--dir", dir, "--namespace", "ci", "--project", "fintech/payments-api"];
    let (code, out, errors) = which(&[&arguments[..], &["--ref", "main"]].concat());
    assert_eq!((code, errors.as_str()), (ExitCode::SUCCESS, ""));
    assert_eq!(
        out,
        "payments (block): it is the narrowest of those for this job
  payments: by project: gitlab.project `fintech/payments-api`, gitlab.refs `main`
  fintech: by group: gitlab.group `fintech`
  ci: by namespace: namespaces `ci`
  deny-all: default
"
    );
    let (_, out, _) = which(&[&arguments[..], &["--ref", "dev"]].concat());
    assert!(out.starts_with("fintech (audit): it is the narrowest"), "{out}");
    assert!(
        out.contains("payments: not for this job: gitlab.refs `main`, and it has `dev`"),
        "{out}"
    );
    let (_, out, _) = which(&["--dir", dir]);
    assert!(out.starts_with("deny-all (block): it is the default, and no other is"), "{out}");
}

#[test]
fn which_says_what_an_agent_with_this_configuration_would_not_believe() {
    let folder = folder(&[("payments", "{ select: { gitlab: { projectId: 42 } } }")]);
    let config = folder.path().join("config");
    let text = format!("policy: {{ dir: {} }}", folder.path().display());
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let arguments = ["--config", config, "--project-id", "42", "--ref", "main"];
    let (code, out, errors) = which(&[&arguments[..], &["--label", "a=b"]].concat());
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(out.starts_with("payments (block)"), "{out}");
    assert!(errors.contains("--project and --ref decide nothing: `gitlab.trustAnnotations` is"));
    assert!(errors.contains("--label decides nothing for a job of GitLab"), "{errors}");
    let (code, out, errors) = which(&["--dir", "/nonexistent/here"]);
    assert_eq!((code, out.as_str()), (ExitCode::from(2), ""));
    assert!(
        errors.contains("reading the policy folder /nonexistent/here: No such file"),
        "{errors}"
    );
}
