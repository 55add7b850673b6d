//! What an operator's systems are told of a node: metrics that say what happened, records in files that do not grow for
//! ever, and in a collector.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::collector::{Collector, Libraries};
use weir_tests::deploy::{METRICS, metric};
use weir_tests::jobs::{Jobs, LIMIT, connects, fetch};
use weir_tests::lab::addresses;
use weir_tests::metrics::Samples;
use weir_tests::node::PodSpec;
use weir_tests::profile::Profile;
use weir_tests::skip::{self, Skip};
use weir_tests::vm::patient;

/// What the profiles allow, at port 80, and what they do not.
const FILES: &str = "files.example.com";
const MIRROR: &str = "mirror.example.com";

/// There is what alerts and dashboard ask for, with those labels, and nothing else.
fn all_are_known(samples: &Samples) -> Result<()> {
    let mut found = BTreeSet::new();
    for sample in samples.names() {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let (known, expected) = metric(name).with_context(|| format!("nobody asks for {name}"))?;
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        for label in labels.filter_map(|label| label.split('=').next()) {
            ensure!(expected.contains(&label), "nobody knows the label {label} of {name}");
        }
        found.insert(known);
    }
    let missing: Vec<_> =
        METRICS.iter().map(|(name, _)| name).filter(|name| !found.contains(*name)).collect();
    ensure!(missing.is_empty(), "the agent does not tell {missing:?}");
    Ok(())
}

#[test]
#[expect(clippy::float_cmp, reason = "whole numbers, far below the last that a float tells apart")]
fn metrics_say_what_happened_and_name_nobody() -> Result<()> {
    let jobs = Jobs::new()?;
    let audit = Profile::deny_all().spec("").text().replace("mode: block", "mode: audit");
    let agent = Jobs::allowing(&[FILES]).namespace("watched", &audit).start(&jobs.node)?;
    let pod = jobs.pod(PodSpec::new("held"))?;
    let build = pod.start(jobs.sleeper())?;
    ensure!(fetch(&build, FILES)? == 0, "what is allowed is not reached");
    for _ in 0..3 {
        ensure!(fetch(&build, MIRROR)? == 4, "what is refused is answered");
    }
    ensure!(!connects(&build, &addresses::ATTACKER.v4.to_string())?, "an address is reached");
    let watched = PodSpec { namespace: "watched".to_owned(), ..PodSpec::new("watched") };
    let watched = jobs.pod(watched)?;
    ensure!(fetch(&watched.start(jobs.sleeper())?, MIRROR)? == 0, "audit mode refuses");
    let now = Samples::of(&jobs.node)?;
    all_are_known(&now)?;
    let is = |name: &str, expected: f64| {
        let found = now.get(name)?;
        ensure!(found == expected, "{name} is {found}, not {expected}");
        Ok(())
    };
    is("weir_pods_enforced{mode=\"block\"}", 1.0)?;
    is("weir_pods_enforced{mode=\"audit\"}", 1.0)?;
    is("weir_pods{phase=\"enforcing\"}", 2.0)?;
    is("weir_attach_seconds_count", 2.0)?;
    is("weir_attach_failures_total", 0.0)?;
    is("weir_verdicts_total{verdict=\"block\",reason=\"domain_not_in_allowlist\"}", 3.0)?;
    is("weir_verdicts_total{verdict=\"block\",reason=\"direct_ip_no_dns\"}", 1.0)?;
    is("weir_verdicts_total{verdict=\"block\",reason=\"dot\"}", 0.0)?;
    is("weir_verdicts_total{verdict=\"audit\",reason=\"domain_not_in_allowlist\"}", 1.0)?;
    is("weir_dns_questions_total{outcome=\"refused\"}", 3.0)?;
    is("weir_dns_questions_total{outcome=\"audited\"}", 1.0)?;
    is("weir_dns_questions_total{outcome=\"failed\"}", 0.0)?;
    let asked = now.get("weir_dns_questions_total{outcome=\"upstream\"}")?;
    ensure!(asked >= 1.0, "nothing was asked");
    ensure!(now.get("weir_dns_upstream_seconds_count")? >= asked, "{now}");
    ensure!(now.get("weir_map_fill_ratio{map=\"allow\"}")? > 0.0, "{now}");
    is("weir_map_fill_ratio{map=\"slots\"}", 2.0 / 255.0)?;
    is("weir_events_lost_total{where=\"kernel\"}", 0.0)?;
    is("weir_bundle_ok", 1.0)?;
    is("weir_bundle_profiles", 3.0)?;
    is("weir_bundle_errors_total", 0.0)?;
    ensure!(now.get("weir_bundle_loaded_timestamp_seconds")? > 1.7e9, "{now}");
    // The last record may still be on its way.
    let deadline = Instant::now() + patient(LIMIT);
    loop {
        let records = fs::read_to_string(jobs.node.path(AgentSpec::EVENTS))?.lines().count();
        let written =
            Samples::of(&jobs.node)?.get("weir_records_written_total{output=\"file\"}")?;
        if records > 0 && format!("{written}") == records.to_string() {
            break;
        }
        ensure!(Instant::now() < deadline, "{written} of {records}");
    }
    for word in [FILES, MIRROR, "held", "watched", "example"] {
        let found = now.names().find(|name| name.contains(word));
        ensure!(found.is_none(), "{found:?} names {word}");
    }
    // What a pod came to stays counted when it is gone, and its place is free.
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    let later = Samples::of(&jobs.node)?;
    for (name, value) in now.iter().filter(|(name, _)| name.starts_with("weir_verdicts_total")) {
        ensure!(later.get(name)? >= value, "{name} has become less");
    }
    ensure!(later.get("weir_pods_enforced{mode=\"block\"}")? == 0.0, "{later}");
    // Policies that cannot be used are an error that is counted, and the last ones stay.
    fs::write(jobs.node.path(AgentSpec::POLICY).join("bad.yaml"), "kind: Pod")?;
    agent.wait_for("the policies stay as they were")?;
    let later = Samples::of(&jobs.node)?;
    ensure!(later.get("weir_bundle_ok")? == 0.0, "{later}");
    ensure!(later.get("weir_bundle_errors_total")? >= 1.0, "{later}");
    ensure!(later.get("weir_bundle_profiles")? == 3.0, "{later}");
    agent.stop().map(drop)
}

#[test]
fn a_file_of_records_is_replaced_before_it_grows_too_large() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[]).events("fileMebibytes: 1, fileKeep: 2").start(&jobs.node)?;
    let pod = jobs.pod(PodSpec::new("loud"))?;
    let build = pod.start(jobs.sleeper())?;
    let folder = jobs.node.path(AgentSpec::EVENTS);
    let older = folder.with_extension("jsonl.1");
    // Some three thousand names, each a record of half a KiB, in a process each.
    let ask = format!(
        "n=0; while [ $n -lt 3000 ]; do client udp {} 53 n$n.example.org 80 >/dev/null 2>&1; n=$((n+1)); done; true",
        addresses::RESOLVER.v4
    );
    let output = build.exec(&["sh", "-c", &ask])?;
    ensure!(output.code == 0, "{}", output.describe());
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    let total = agent.stop()?;
    ensure!(!total.stdout.contains("could not be written"), "{}", total.describe());
    for file in [&folder, &older] {
        let size = fs::metadata(file).with_context(|| file.display().to_string())?.len();
        ensure!(size > 0 && size <= 1 << 20, "{} has {size} bytes", file.display());
        // Whole lines, each a record.
        for line in fs::read_to_string(file)?.lines() {
            serde_json::from_str::<Value>(line).context(line.to_owned())?;
        }
    }
    Ok(())
}

/// Only the agent itself may be asked: the page is the node's.
#[test]
fn metrics_are_no_business_of_a_pods() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent: Agent = Jobs::allowing(&[]).start(&jobs.node)?;
    let build = jobs.pod(PodSpec::new("curious"))?.start(jobs.sleeper())?;
    let output = build.exec(&["curl", "-sS", "-m", "2", "http://127.0.0.1:9411/metrics"])?;
    ensure!(output.code != 0 && !output.stdout.contains("weir_"), "{}", output.describe());
    agent.stop().map(drop)
}

/// Where the collector listens, on the node.
const COLLECTOR: &str = "127.0.0.1:4317";

/// What a collector has to take: every record that is in the file, and under the names that it sorts by.
fn all_arrive(agent: &Agent, collector: &Collector, already: usize) -> Result<usize> {
    let events = agent.events()?;
    let expected: BTreeSet<String> = events.iter().skip(already).map(ToString::to_string).collect();
    let taken = collector.take(expected.len())?;
    let found: BTreeSet<String> = taken.keys().cloned().collect();
    ensure!(found == expected, "taken: {found:#?}\nwritten: {expected:#?}");
    for record in taken.values() {
        let text = |place: &str| record.pointer(place).and_then(Value::as_str);
        let (kind, node) = (text("/body/kind"), text("/body/node"));
        ensure!(text("/resource/service.name") == Some("weir"), "{record}");
        ensure!(text("/resource/k8s.node.name") == node && node.is_some(), "{record}");
        ensure!(text("/attributes/weir.kind") == kind && kind.is_some(), "{record}");
        ensure!(text("/attributes/k8s.pod.uid") == text("/body/pod/uid"), "{record}");
        let severity = if kind == Some("violation") { "WARN" } else { "INFO" };
        ensure!(text("/severity") == Some(severity), "{record}");
        ensure!(record.get("nanoseconds").and_then(Value::as_u64) > Some(0), "{record}");
    }
    Ok(already + expected.len())
}

#[test]
fn a_collector_takes_every_record_also_those_of_its_absence() -> Result<()> {
    let Some(libraries) = Libraries::find()? else {
        return skip::record("telemetry: a collector", Skip::NoCollector);
    };
    let jobs = Jobs::new()?;
    let collector = Collector::start(&jobs.node, &libraries, COLLECTOR)?;
    let spec = Jobs::allowing(&[]).events(&format!("otlp: \"http://{COLLECTOR}\""));
    let agent = spec.start(&jobs.node)?;
    let hostile = "\u{1b}[31m \"quoted\"\n\u{fffd} \u{1f600}";
    let job = |name: &str| {
        PodSpec::new(name)
            .label("project.runner.gitlab.com/id", "42")
            .annotation("job.runner.gitlab.com/id", "7")
            .annotation("job.runner.gitlab.com/name", hostile)
    };
    // The account of a pod is complete with its last record.
    let run = |spec: PodSpec| -> Result<()> {
        let uid = spec.uid.clone();
        jobs.refused_flood(spec)?;
        agent.records_come(&uid, "detach", 1).map(drop)
    };
    run(job("first"))?;
    let taken = all_arrive(&agent, &collector, 0)?;
    ensure!(taken > 5, "{taken} records alone");
    drop(collector);
    run(job("second"))?;
    agent.wait_for("the OTLP collector takes no records")?;
    let collector = Collector::start(&jobs.node, &libraries, COLLECTOR)?;
    all_arrive(&agent, &collector, taken)?;
    agent.stop().map(drop)
}
