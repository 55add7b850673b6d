//! The configurations of runners: their patch puts the barrier first in each job's pod, and a job can take it out nowhere.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use weir_tests::deploy::{self, Operation, Patch, Stage, container_names};

const BARRIER: &str = "weir-initc";

#[test]
fn the_patch_puts_the_barrier_first_and_loses_nothing() -> Result<()> {
    Stage::with("admission: patch", |stage| {
        for (name, pod) in &stage.pods {
            let patched = stage.patched(name)?;
            let expected = [&[BARRIER], container_names(pod, "initContainers").as_slice()].concat();
            ensure!(container_names(&patched, "initContainers") == expected, "{name}: {patched}");
            // Without the barrier, it is the pod that it was.
            let mut rest = patched.clone();
            let list = rest.pointer_mut("/spec/initContainers").and_then(Value::as_array_mut);
            let list = list.context("no init containers")?;
            list.remove(0);
            if list.is_empty() {
                rest.pointer_mut("/spec")
                    .and_then(Value::as_object_mut)
                    .context("no spec")?
                    .remove("initContainers");
            }
            ensure!(typed(&rest)? == typed(pod)?, "{name}: {rest} was {pod}");
        }
        Ok(())
    })
}

/// A pod as its type has it, so that two ways to write the same are the same.
fn typed(pod: &Value) -> Result<Pod> {
    serde_json::from_value(pod.clone()).context("reading a pod")
}

#[test]
fn the_last_patch_is_first_in_the_pod() -> Result<()> {
    Stage::with("admission: patches", |stage| {
        let other = Patch::strategic(
            "initContainers:\n- name: warm-up\n  image: registry.example.com/warm-up:1\n",
        );
        let pod = stage.pod("attach")?;
        let ours_last = stage.patch.apply(&stage.tools, &other.apply(&stage.tools, pod)?)?;
        ensure!(
            container_names(&ours_last, "initContainers")
                == [BARRIER, "warm-up", "init-permissions"]
        );
        let ours_before = other.apply(&stage.tools, &stage.patched("attach")?)?;
        ensure!(
            container_names(&ours_before, "initContainers")
                == ["warm-up", BARRIER, "init-permissions"]
        );
        let policy = stage.policy(&[])?;
        ensure!(policy.refusals(Operation::Create, &ours_last, None)?.is_empty());
        ensure!(policy.refusals(Operation::Create, &ours_before, None)?.len() == 1);
        Ok(())
    })
}

#[test]
fn a_pod_that_is_guaranteed_stays_so() -> Result<()> {
    Stage::with("admission: quality of service", |stage| {
        let patched = stage.patched("exec")?;
        let all =
            ["containers", "initContainers"].map(|list| patched.pointer(&format!("/spec/{list}")));
        for container in all.into_iter().flatten().filter_map(Value::as_array).flatten() {
            let of = |key: &str| container.pointer(&format!("/resources/{key}"));
            ensure!(of("requests").is_some() && of("requests") == of("limits"), "{container}");
        }
        Ok(())
    })
}

#[test]
fn the_runners_chart_gets_the_same_configuration() -> Result<()> {
    let plain = deploy::text("gitlab-runner/config.toml")?;
    let from = plain.find("\n[[runners]]").context("no runner")?;
    let plain = plain.get(from + 1..).context("no runner")?;
    let values = deploy::text("gitlab-runner/values.yaml")?;
    let (_, block) = values.split_once("\n  config: |\n").context("no block")?;
    let block = unindented(block, "    ");
    ensure!(block == plain, "they differ:\n{block}\n---\n{plain}");
    Ok(())
}

/// A block of lines, each without its indentation.
fn unindented(block: &str, by: &str) -> String {
    let lines = block.split_inclusive('\n');
    lines.map(|line| line.strip_prefix(by).unwrap_or(line)).collect()
}

#[test]
fn a_job_can_switch_nothing_off() -> Result<()> {
    let config: toml::Table = deploy::text("gitlab-runner/config.toml")?.parse()?;
    let runner = config.get("runners").and_then(|all| all.get(0)).context("no runner")?;
    let flag = runner
        .get("feature_flags")
        .and_then(|flags| flags.get("FF_USE_ADVANCED_POD_SPEC_CONFIGURATION"));
    ensure!(flag == Some(&toml::Value::Boolean(true)), "{flag:?}");
    ensure!(runner.get("environment").is_none(), "a job's variables win over these");
    let kubernetes = runner.get("kubernetes").context("no [runners.kubernetes]")?;
    for key in ["pod_annotations", "namespace", "node_selector"] {
        let allowed = kubernetes.get(format!("{key}_overwrite_allowed"));
        ensure!(allowed.and_then(toml::Value::as_str) == Some(""), "{key}: {allowed:?}");
    }
    Ok(())
}

#[test]
fn pods_of_github_runners_are_admitted() -> Result<()> {
    Stage::with("admission: ARC", |stage| {
        for (file, expected, leave) in [
            ("values", vec![BARRIER], "admission.allow.privileged=false"),
            (
                "docker-in-docker",
                vec![BARRIER, "init-dind-externals", "dind"],
                "admission.allow.privileged=true",
            ),
        ] {
            let text = deploy::text(&format!("arc/{file}.yaml"))?;
            let (_, template) = text.split_once("\ntemplate:\n").context("no template")?;
            let template = unindented(template, "  ");
            let pod = format!("apiVersion: v1\nkind: Pod\nmetadata: {{ name: x }}\n{template}");
            let pod = stage.tools.objects(&pod)?.pop().context("no pod")?;
            ensure!(container_names(&pod, "initContainers") == expected, "{file}: {pod}");
            let said = stage.policy(&[leave])?.refusals(Operation::Create, &pod, None)?;
            ensure!(said.is_empty(), "{file}: {said:?}");
        }
        Ok(())
    })
}
