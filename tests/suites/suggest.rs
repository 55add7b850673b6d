//! Audit, suggest, block: what a job of a pod was seen to need is what it is allowed, and nothing more.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use weir_tests::dns::Records;
use weir_tests::exec::{self, DEFAULT_LIMIT, Output};
use weir_tests::jobs::{Jobs, fetch};
use weir_tests::lab::addresses;
use weir_tests::node::{Pod, PodSpec};
use weir_tests::profile::Profile;
use weir_tests::traces;
use weir_tests::{agent::AgentSpec, weir};

/// Names that no two of the lab's servers share, and one that many share.
const APART: [&str; 2] = ["files.example.com", "api.example.com"];
/// Names with one address, reached by one process: a record of an address names them all.
const TOGETHER: [&str; 3] =
    ["a.shared.example.net", "b.shared.example.net", "c.shared.example.net"];
/// Shards of one name; enough for a wildcard.
const SHARDS: usize = 12;

/// Runs `weir policy` with these words.
fn policy(words: &[&str]) -> Result<Output> {
    let mut command = Command::new(weir::binary()?);
    command.arg("policy").args(words);
    exec::run(command, DEFAULT_LIMIT)?.expect_code(0)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A pod of GitLab Runner's, of the project 42.
fn runners_pod(number: u32) -> PodSpec {
    PodSpec::new(&format!("runner-abc-project-42-concurrent-0-x{number}"))
        .label("project.runner.gitlab.com/id", "42")
        .annotation("project.runner.gitlab.com/id", "42")
        .annotation("job.runner.gitlab.com/id", "388420")
        .annotation(
            "job.runner.gitlab.com/url",
            "https://gitlab.example.com/group/app/-/jobs/388420",
        )
}

/// Sets the names that the lab does not have by itself.
fn name_servers(jobs: &Jobs) -> Result<()> {
    let zone = jobs.lab.zone();
    for name in TOGETHER {
        zone.set(name, Records::ttl(300).pair(addresses::WEB[2]))?;
    }
    zone.set("*.cdn.example.org", Records::ttl(300).pair(addresses::WEB[3]))?;
    Ok(())
}

/// The job: everything that it needs, in a pod of its own; whether all of it worked.
fn job(jobs: &Jobs, pod: &Pod) -> Result<bool> {
    let build = pod.start(jobs.sleeper())?;
    let mut works = true;
    for name in APART {
        works &= fetch(&build, name)? == 0;
    }
    for shard in 1..=SHARDS {
        works &= fetch(&build, &format!("r{shard}.cdn.example.org"))? == 0;
    }
    let urls = TOGETHER.map(|name| format!("http://{name}/"));
    let mut curl = vec!["curl", "-sS", "-m", "10"];
    curl.extend(urls.iter().flat_map(|url| ["-o", "/dev/null", url.as_str()]));
    works &= build.exec(&curl)?.code == 0;
    Ok(works)
}

#[test]
fn the_suggested_profile_passes_the_same_job_and_refuses_one_more_name() -> Result<()> {
    let jobs = Jobs::new()?;
    name_servers(&jobs)?;

    // Nothing is allowed, and everything passes.
    let audit = Profile::deny_all().text().replace("mode: block", "mode: audit");
    let agent = AgentSpec::default().namespace("ci", &audit).start(&jobs.node)?;
    let pod = jobs.pod(runners_pod(1))?;
    ensure!(job(&jobs, &pod)?, "the job fails in audit mode");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;

    let events = jobs.node.path(AgentSpec::EVENTS);
    let suggested = policy(&["suggest", &text(&events), "--name", "lab/test"])?.stdout;
    for name in APART.iter().chain(&TOGETHER) {
        ensure!(suggested.contains(&format!("- \"{name}\"\n")), "no {name} in\n{suggested}");
    }
    ensure!(suggested.contains("- \"*.cdn.example.org\"\n"), "no wildcard in\n{suggested}");
    for evidence in
        ["by client; 20", "in 1 job: https://gitlab.example.com/group/app/-/jobs/388420"]
    {
        ensure!(suggested.contains(evidence), "no {evidence:?} in\n{suggested}");
    }
    fs::remove_file(&events)?;

    // The same job, under what was suggested.
    let agent = AgentSpec::default().namespace("ci", &suggested).start(&jobs.node)?;
    let pod = jobs.pod(runners_pod(2))?;
    ensure!(job(&jobs, &pod)?, "the job fails under\n{suggested}");
    let build = pod.start(jobs.container("more").command(&["/bin/sleep", "3600"]))?;
    ensure!(
        fetch(&build, &format!("r{}.cdn.example.org", SHARDS + 1))? == 0,
        "a wildcard of names"
    );
    let before = agent.records(&pod.spec().uid, "violation")?;
    ensure!(before.is_empty(), "refused under its own suggestion: {before:?}\n{suggested}");
    let watch = jobs.lab.watch(jobs.lab.web.host())?;
    for name in ["git.example.com", "a.b.cdn.example.org", "cdn.example.org"] {
        ensure!(fetch(&build, name)? == 4, "{name} is not refused under\n{suggested}");
    }
    let arrived = watch.take()?;
    ensure!(arrived.is_empty(), "{arrived:?} arrived");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;

    // What was refused is told to whoever asks again, and not allowed.
    let again = policy(&["suggest", &text(&events), "--name", "lab/test"])?.stdout;
    let refused = again.lines().any(|line| line.starts_with("#   - \"git.example.com\"  # "));
    ensure!(refused && !again.contains("        - \"git.example.com\""), "{again}");
    traces::none(&jobs.node)
}

#[test]
fn each_project_gets_a_profile_and_a_profile_gets_what_it_lacks() -> Result<()> {
    let jobs = Jobs::new()?;
    let allowed = Profile::deny_all().domains_at(&["files.example.com"], &["80"]).text();
    let audit = allowed.replace("mode: block", "mode: audit");
    let agent = AgentSpec::default().namespace("ci", &audit).start(&jobs.node)?;
    for (spec, names) in [(runners_pod(1), APART), (PodSpec::new("plain"), [APART[0]; 2])] {
        let pod = jobs.pod(spec)?;
        let build = pod.start(jobs.sleeper())?;
        for name in names {
            ensure!(fetch(&build, name)? == 0, "{name} in audit mode");
        }
        pod.remove()?;
        agent.wait_for("phase=\"gone\"")?;
    }
    agent.stop()?;
    let events = text(&jobs.node.path(AgentSpec::EVENTS));

    let folder = tempfile::tempdir()?;
    let out = folder.path().join("profiles");
    policy(&["suggest", &events, "--per", "project", "--out", &text(&out)])?;
    let of_project = fs::read_to_string(out.join("project-42.yaml"))?;
    let of_nobody = fs::read_to_string(out.join("no-project.yaml"))?;
    ensure!(of_project.contains("- \"api.example.com\"\n"), "{of_project}");
    ensure!(!of_nobody.contains("api.example.com"), "{of_nobody}");
    policy(&["check", &text(&out.join("project-42.yaml")), &text(&out.join("no-project.yaml"))])?;

    let mine = folder.path().join("mine.yaml");
    fs::write(&mine, allowed.replace("  allow:\n", "  allow:\n    # Ours, reviewed.\n"))?;
    let merged = policy(&["suggest", &events, "--merge", &text(&mine)])?.stdout;
    ensure!(merged.contains("    # Ours, reviewed.\n"), "{merged}");
    ensure!(merged.matches("files.example.com").count() == 1, "{merged}");
    ensure!(merged.contains("- \"api.example.com\"\n"), "{merged}");
    fs::write(&mine, merged)?;
    for name in APART {
        policy(&["explain", &text(&mine), &format!("{name}:80")])?;
    }
    traces::none(&jobs.node)
}
