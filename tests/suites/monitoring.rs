//! What watches the agents: alert rules that Prometheus takes and that fire when they should, and a dashboard, both of
//! metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weir_tests::deploy::{self, Chart, METRICS, Tools, metric, promtool};
use weir_tests::exec::{self, DEFAULT_LIMIT};
use weir_tests::skip::{self, Skip};

/// Those of others.
const FOREIGN: [(&str, &[&str]); 3] = [
    ("kube_daemonset_status_desired_number_scheduled", &["daemonset"]),
    ("kube_daemonset_status_number_ready", &["daemonset"]),
    ("up", &["job"]),
];
/// Labels that Prometheus puts on everything it takes from a pod.
const EVERYWHERE: [&str; 1] = ["node"];

fn words(expression: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    expression.match_indices(is_word).filter_map(move |(at, _)| {
        let before = expression.get(..at)?.chars().next_back();
        let rest = expression.get(at..)?;
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        (!before.is_some_and(is_word)).then_some((at, rest.get(..end)?))
    })
}

/// The metrics in an expression, each known; every label in braces is one that a metric of it has.
fn known(expression: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut labels = BTreeSet::from(EVERYWHERE);
    for (_, word) in words(expression) {
        if !word.starts_with("weir_") && !word.starts_with("kube_") && word != "up" {
            continue;
        }
        let foreign = || FOREIGN.into_iter().find(|(name, _)| *name == word);
        let (name, its_labels) = metric(word)
            .or_else(foreign)
            .with_context(|| format!("no metric {word}: {expression}"))?;
        found.insert(name.to_owned());
        labels.extend(its_labels);
    }
    ensure!(!found.is_empty(), "no metric in {expression}");
    for braces in expression.split('{').skip(1) {
        let inside = braces.split('}').next().unwrap_or_default();
        for matcher in inside.split(',') {
            let name = matcher.trim().split(['=', '!']).next().unwrap_or_default();
            ensure!(labels.contains(name), "no label {name}: {expression}");
        }
    }
    Ok(found)
}

/// Every `expr` of a value, wherever it is.
fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().filter(|_| key == "expr") {
                    Some(text) => into.push(text.to_owned()),
                    None => expressions(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&deploy::text("chart/files/dashboard.json")?)?;
    let mut all = Vec::new();
    expressions(&dashboard, &mut all);
    let mut shown = BTreeSet::new();
    for expression in &all {
        shown.extend(known(expression)?);
    }
    let metrics = METRICS.iter().map(|(name, _)| *name);
    let hidden: Vec<_> = metrics.filter(|name| !shown.contains(*name)).collect();
    ensure!(hidden.is_empty(), "nobody sees {hidden:?}");

    let panels = dashboard.get("panels").and_then(Value::as_array).context("no panels")?;
    let mut taken = BTreeSet::new();
    for panel in panels {
        ensure!(taken.insert(panel.get("id").and_then(Value::as_u64)), "an id twice: {panel}");
        let number = |key: &str| panel.pointer(&format!("/gridPos/{key}")).and_then(Value::as_u64);
        let (x, w) = number("x").zip(number("w")).context("a panel without a place")?;
        ensure!(x + w <= 24, "it does not fit: {panel}");
    }
    Ok(())
}

/// The rules as Prometheus' operator gets them, in a file.
fn rules(tools: &Tools, folder: &Path) -> Result<(PathBuf, Vec<Value>)> {
    let rendered = Chart::new(tools).file("audit").render()?;
    let groups = rendered.the("PrometheusRule")?.pointer("/spec/groups").context("no groups")?;
    let file = folder.join("alerts.yaml");
    // JSON is YAML.
    fs::write(&file, json!({"groups": groups}).to_string())?;
    let rules = groups.pointer("/0/rules").and_then(Value::as_array).context("no rules")?;
    Ok((file, rules.clone()))
}

#[test]
fn alerts_are_of_metrics_that_there_are_and_say_what_to_do() -> Result<()> {
    let Some(tools) = Tools::find()? else { return skip::record("monitoring", Skip::NoHelm) };
    let folder = tempfile::tempdir()?;
    let mut names = BTreeSet::new();
    for rule in rules(&tools, folder.path())?.1 {
        let text = |path: &str| rule.pointer(path).and_then(Value::as_str).unwrap_or_default();
        known(text("/expr"))?;
        ensure!(names.insert(text("/alert").to_owned()), "{} twice", text("/alert"));
        ensure!(["critical", "warning", "info"].contains(&text("/labels/severity")), "{rule}");
        ensure!(!text("/annotations/summary").is_empty(), "{rule}");
        ensure!(!text("/annotations/description").is_empty(), "{rule}");
    }
    // The name of the release is that of the DaemonSet.
    let chart = Chart::new(&tools).file("audit").named("egress");
    let renamed = chart.render()?;
    let groups = renamed.the("PrometheusRule")?.to_string();
    ensure!(
        groups.contains(r#"daemonset=\"egress\""#) && !groups.contains(r#"daemonset=\"weir\""#)
    );
    Ok(())
}

#[test]
fn alerts_fire_when_they_should_and_not_before() -> Result<()> {
    let Some(tools) = Tools::find()? else { return skip::record("monitoring", Skip::NoHelm) };
    let Some(promtool) = promtool()? else {
        return skip::record("monitoring", Skip::NoPrometheus);
    };
    let folder = tempfile::tempdir()?;
    let (file, rules) = rules(&tools, folder.path())?;
    let run = |arguments: [&str; 2], file: &Path| {
        let mut command = Command::new(&promtool);
        command.args(arguments).arg(file).current_dir(folder.path());
        exec::run(command, DEFAULT_LIMIT)?.expect_code(0)
    };
    run(["check", "rules"], &file)?;
    let mut all = String::new();
    for cases in ["alerts", "weeks"] {
        let text = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("rules/{cases}.yaml")),
        )?;
        // Beside the rules, which it names.
        let tests = folder.path().join(format!("{cases}-tests.yaml"));
        fs::write(&tests, &text)?;
        let said = run(["test", "rules"], &tests)?;
        ensure!(said.stdout.contains("SUCCESS"), "{}", said.describe());
        all.push_str(&text);
    }
    // Every one is tried both ways: seen to fire, and seen not to.
    for rule in &rules {
        let name = rule.get("alert").and_then(Value::as_str).context("an alert without a name")?;
        let expected: Vec<&str> = all
            .split("- expr: ")
            .filter(|case| case.contains(&format!("alertname=\"{name}\"")))
            .collect();
        let silent = expected.iter().filter(|case| case.contains("exp_samples: []")).count();
        ensure!(silent > 0 && silent < expected.len(), "{name} is not tried both ways");
    }
    Ok(())
}
