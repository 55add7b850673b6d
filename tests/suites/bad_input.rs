//! What a user can get wrong: one clear error with its place, a non-zero exit, nothing started.

use anyhow::{Context, Result, ensure};
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;
use weir_tests::weir::{Invocation, Outcome};

/// weir's own exit code for what was wrong before the command began.
const USAGE: i32 = 2;

/// Runs a command that would leave a trace; says what weir said.
fn refuse(lab: &Lab, weir: &Invocation<'_>) -> Result<Outcome> {
    let trace = lab.client.home().join("trace");
    let outcome = weir.run(&["touch", &trace.to_string_lossy()])?;
    ensure!(!trace.exists(), "the command was started: {}", outcome.describe());
    ensure!(outcome.output.code == USAGE, "{}", outcome.describe());
    ensure!(outcome.output.stdout.is_empty(), "{}", outcome.describe());
    Ok(outcome)
}

/// `text` is refused, and the error shows `places`: file, line, key.
fn check_profile(text: &str, places: &[&str]) -> Result<()> {
    let lab = Lab::new()?;
    let weir = lab.weir().profile(text)?;
    let outcome = refuse(&lab, &weir)?;
    let errors = &outcome.output.stderr;
    let file = weir.profile_path().to_string_lossy().into_owned();
    for place in places.iter().copied().chain([file.as_str()]) {
        ensure!(errors.contains(place), "no {place:?} in {errors}");
    }
    Ok(())
}

const HEAD: &str = "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: a/b }\nspec:\n";

#[test]
fn a_file_that_is_no_yaml() -> Result<()> {
    check_profile("allow: [", &["1"])
}

#[test]
fn an_unknown_field() -> Result<()> {
    let text = format!("{HEAD}  allow:\n    - id: a\n      domain: [files.example.com]\n");
    check_profile(&text, &["7", "domain", "domains"])
}

#[test]
fn an_impossible_port() -> Result<()> {
    let text = format!(
        "{HEAD}  allow:\n    - id: a\n      domains: [files.example.com]\n      ports: [70000]\n"
    );
    check_profile(&text, &["8", "70000"])
}

#[test]
fn a_name_that_is_no_name() -> Result<()> {
    let text = format!("{HEAD}  allow:\n    - id: a\n      domains: [\"fi les..example.com\"]\n");
    check_profile(&text, &["7", "fi les..example.com"])
}

#[test]
fn a_prefix_that_is_no_prefix() -> Result<()> {
    let text = format!("{HEAD}  allow:\n    - id: a\n      cidrs: [203.0.113.0/33]\n");
    check_profile(&text, &["7", "203.0.113.0/33"])
}

#[test]
fn a_profile_that_is_not_there() -> Result<()> {
    let lab = Lab::new()?;
    let outcome = refuse(&lab, &lab.weir().option("--profile").option("missing.yaml"))?;
    ensure!(outcome.output.stderr.contains("missing.yaml"), "{}", outcome.describe());
    Ok(())
}

#[test]
fn an_unwritable_events_file() -> Result<()> {
    let lab = Lab::new()?;
    let weir = lab.weir().profile(&Profile::deny_all().text())?;
    let weir = weir.option("--events").option("/nowhere/events.jsonl");
    let outcome = refuse(&lab, &weir)?;
    ensure!(outcome.output.stderr.contains("/nowhere/events.jsonl"), "{}", outcome.describe());
    Ok(())
}

#[test]
fn a_host_without_upstream() -> Result<()> {
    let lab = Lab::new()?;
    lab.client.set_resolvers(&[])?;
    let outcome = refuse(&lab, &lab.weir().profile(&Profile::deny_all().text())?)?;
    ensure!(outcome.output.stderr.contains("resolv.conf"), "{}", outcome.describe());
    // Named on the command line, one is enough.
    let address = addresses::RESOLVER.v6.to_string();
    let weir = lab.weir().profile(&Profile::deny_all().domains(&["files.example.com"]).text())?;
    let argv = ["curl", "-sS", "https://files.example.com/"];
    weir.option("--upstream").option(&address).run(&argv)?.expect_code(0)?;
    Ok(())
}

#[test]
fn an_upstream_that_is_no_address() -> Result<()> {
    let lab = Lab::new()?;
    let weir = lab.weir().option("--upstream").option("not-an-address");
    let outcome = refuse(&lab, &weir)?;
    ensure!(outcome.output.stderr.contains("not-an-address"), "{}", outcome.describe());
    Ok(())
}

#[test]
fn a_command_that_is_not_there() -> Result<()> {
    let lab = Lab::new()?;
    let weir = lab.weir().profile(&Profile::deny_all().text())?;
    let outcome = weir.run(&["no-such-program"])?;
    ensure!(outcome.output.code != 0, "{}", outcome.describe());
    ensure!(outcome.output.stderr.contains("no-such-program"), "{}", outcome.describe());
    Ok(())
}

#[test]
fn no_profile_and_an_empty_list_deny_all() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(80)?;
    let watch = lab.watch(lab.attacker.host())?;
    let url = format!("http://{}/", addresses::ATTACKER.v4);
    let argv = ["curl", "-sS", "-m", "5", &url];
    lab.client.run(&argv)?.expect_code(0)?;
    lab.client.end_connections()?;
    ensure!(!watch.take()?.is_empty(), "without weir nothing arrived");
    for weir in [lab.weir(), lab.weir().profile(&Profile::deny_all().text())?] {
        let outcome = weir.run(&argv)?;
        let arrived = watch.take()?;
        ensure!(outcome.output.code != 0, "{}", outcome.describe());
        ensure!(arrived.is_empty(), "{arrived:?} arrived: {}", outcome.describe());
        let name = weir.run(&["curl", "-sS", "-m", "5", "https://files.example.com/"])?;
        ensure!(name.output.code != 0, "{}", name.describe());
    }
    Ok(())
}

#[test]
fn a_failing_sink_weakens_nothing_and_is_reported() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let watch = lab.watch(lab.attacker.host())?;
    let profile = Profile::deny_all().domains(&["files.example.com"]).text();
    let weir = lab.weir().profile(&profile)?.option("--events").option("/dev/full");
    let probe = Program::Probe.path()?;
    let script =
        format!("{probe} tcp {} 4000; curl -sS https://files.example.com/", addresses::ATTACKER.v4);
    let outcome = weir.run(&["sh", "-c", &script])?.expect_code(0)?;
    ensure!(watch.take()?.is_empty(), "{}", outcome.describe());
    ensure!(outcome.output.stdout.contains("EPERM"), "{}", outcome.describe());
    ensure!(outcome.output.stdout.contains("hello from files"), "{}", outcome.describe());
    ensure!(
        outcome.output.stderr.contains("No space left"),
        "not reported: {}",
        outcome.describe()
    );
    Ok(())
}

#[test]
fn without_root_one_line_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let line = lab.weir().profile(&Profile::deny_all().text())?.command_line(&["true"])?;
    let mut argv: Vec<String> =
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            .map(str::to_owned)
            .into();
    // The build's folder may be closed to others.
    let copy = std::env::temp_dir().join(format!("weir-{}", std::process::id()));
    std::fs::copy(line.first().context("no program")?, &copy)?;
    argv.push(copy.to_string_lossy().into_owned());
    argv.extend(["run", "--", "true"].map(str::to_owned));
    let output = lab.client.run(&argv)?;
    std::fs::remove_file(&copy)?;
    ensure!(output.code == USAGE, "{}", output.describe());
    ensure!(
        output.stderr.lines().count() == 1 && output.stderr.contains("root"),
        "{}",
        output.describe()
    );
    Ok(())
}
