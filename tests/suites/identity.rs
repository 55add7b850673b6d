//! Records name the CI job of a pod by what its runner wrote on it, through a real containerd, and say what of that the
//! job could have written.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weir_tests::deploy::{self, Tools};
use weir_tests::jobs::Jobs;
use weir_tests::node::PodSpec;
use weir_tests::skip::{self, Skip};
use weir_tests::traces;
use weir_tests::weir::Event;

/// A pod as GitLab Runner 17.11 and later make them.
fn runners_pod() -> PodSpec {
    PodSpec::new("runner-abc-project-42-concurrent-0-x1")
        .label("pod", "runner-abc-project-42-concurrent-0")
        .label("job.runner.gitlab.com/pod", "runner-abc-project-42-concurrent-0")
        .label("manager.runner.gitlab.com/id-short", "abc")
        .label("project.runner.gitlab.com/id", "42")
        .label("project.runner.gitlab.com/name", "app")
        .label("project.runner.gitlab.com/namespace", "group")
        .annotation("job.runner.gitlab.com/id", "388420")
        .annotation(
            "job.runner.gitlab.com/url",
            "https://gitlab.example.com/group/app/-/jobs/388420",
        )
        .annotation("job.runner.gitlab.com/ref", "main")
        .annotation("job.runner.gitlab.com/name", "install \u{1b}[31m\"all\"\n")
        .annotation("job.runner.gitlab.com/timeout", "1h0m0s")
        .annotation("project.runner.gitlab.com/id", "42")
}

/// The record of a refusal of a job in this pod, by an agent with more lines of configuration.
fn violation(spec: PodSpec, config: &str) -> Result<Event> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[]).config(config).start(&jobs.node)?;
    jobs.refused_flood(spec)?;
    agent.wait_for("phase=\"gone\"")?;
    let events = agent.events()?;
    agent.stop()?;
    traces::none(&jobs.node)?;
    let found = events.into_iter().find(|event| event.kind() == "violation");
    found.context("no violation")
}

#[test]
fn a_record_names_the_job_that_the_runner_wrote_on_the_pod() -> Result<()> {
    let event = violation(runners_pod(), "gitlab: { trustAnnotations: true }")?;
    let expected = json!({
        "project": "group/app",
        "project_id": 42,
        "pipeline_id": null,
        "job_id": 388_420,
        "job_name": "install \u{1b}[31m\"all\"\n",
        "ref": "main",
        "job_url": "https://gitlab.example.com/group/app/-/jobs/388420",
        "untrusted": [],
    });
    ensure!(event.value("/gitlab") == Some(&expected), "{event}");
    Ok(())
}

#[test]
fn what_a_job_could_have_written_is_marked() -> Result<()> {
    let spec = runners_pod().annotation("weir.dev/gitlab-pipeline-id", "7");
    let event = violation(spec, "")?;
    let claims = ["project", "pipeline_id", "job_id", "job_name", "ref", "job_url"];
    ensure!(event.value("/gitlab/untrusted") == Some(&json!(claims)), "{event}");
    ensure!(event.number("/gitlab/project_id") == 42, "{event}");
    Ok(())
}

#[test]
fn a_pod_of_nobodys_has_no_job() -> Result<()> {
    let event = violation(PodSpec::new("plain").label("app", "db"), "")?;
    ensure!(event.value("/gitlab") == Some(&json!(null)), "{event}");
    Ok(())
}

/// A pod of a runner's with the labels and annotations that this version of it writes, as the kubelet has it made.
fn spec_of(pod: &Value) -> Result<PodSpec> {
    let map = |key: &str| -> Result<BTreeMap<String, String>> {
        let map = pod.pointer(&format!("/metadata/{key}")).cloned();
        map.map_or_else(|| Ok(BTreeMap::new()), |map| Ok(serde_json::from_value(map)?))
    };
    let name = pod.pointer("/metadata/name").or_else(|| pod.pointer("/metadata/generateName"));
    let name = name.and_then(Value::as_str).context("a pod without a name")?;
    Ok(PodSpec { labels: map("labels")?, annotations: map("annotations")?, ..PodSpec::new(name) })
}

/// What records tell of the job `id` of the lab's project.
fn job(id: u64, name: &str, reference: &str, untrusted: &[&str]) -> Value {
    json!({
        "project": "group/app",
        "project_id": 42,
        "pipeline_id": null,
        "job_id": id,
        "job_name": name,
        "ref": reference,
        "job_url": format!("https://gitlab.example.com/group/app/-/jobs/{id}"),
        "untrusted": untrusted,
    })
}

#[test]
fn every_version_of_the_runner_is_understood() -> Result<()> {
    let Some(tools) = Tools::find()? else {
        return skip::record("identity: versions of the runner", Skip::NoHelm);
    };
    let pods = deploy::pods(&tools)?;
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[]).start(&jobs.node)?;
    let mut told = BTreeMap::new();
    for (name, pod) in &pods {
        let spec = spec_of(pod)?;
        let uid = spec.uid.clone();
        jobs.refused_flood(spec)?;
        agent.records_come(&uid, "detach", 1)?;
        let violation = agent.records(&uid, "violation")?.pop().context("no violation")?;
        ensure!(violation.value("/identity").is_none(), "{name}: {violation}");
        let job = violation.value("/gitlab").context("no job")?.clone();
        for kind in ["attach", "flow", "detach"] {
            for event in agent.records(&uid, kind)? {
                ensure!(event.value("/gitlab") == Some(&job), "{name}: {event}");
            }
        }
        told.insert(name.as_str(), job);
    }
    // Until an administrator says that no job may write annotations, what they say is a claim.
    let claims = ["project", "job_id", "job_name", "ref", "job_url"];
    let all = ["project", "project_id", "job_id", "job_name", "ref", "job_url"];
    let expected = BTreeMap::from([
        ("attach", job(388_420, "install", "main", &claims)),
        ("docker", job(388_424, "image", "main", &claims)),
        // Before there was a label of the project's id, and before there was anything at all.
        ("exec", job(388_422, "lint", "main", &all)),
        ("early", json!(null)),
        ("pause", json!(null)),
        ("steps", job(388_423, "test", "v1.2.3", &claims)),
        ("uid-collector", job(388_421, "build: [linux]", "feature/uid", &claims)),
    ]);
    ensure!(told == expected, "{told:#?}");
    agent.stop().map(drop)
}
