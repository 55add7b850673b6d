//! What cases of the admission policy begin with: the tools, the runner's patch, and pods as runners make them.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{AdmissionPolicy, Chart, Patch, Tools};
use crate::skip::{self, Skip};

/// What every case needs.
#[derive(Debug)]
pub struct Stage {
    /// Helm and kubectl.
    pub tools: Tools,
    /// The patch of `deploy/gitlab-runner`.
    pub patch: Patch,
    /// Pods as GitLab Runner makes them, by the names of their files.
    pub pods: Vec<(String, Value)>,
}

impl Stage {
    /// Runs `case` with Helm and kubectl, where they are; `name` is told where they are not.
    pub fn with(name: &str, case: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let Some(tools) = Tools::find()? else { return skip::record(name, Skip::NoHelm) };
        let patch = Patch::read(&super::text("gitlab-runner/config.toml")?.parse()?)?;
        let pods = super::pods(&tools)?;
        case(&Self { tools, patch, pods })
    }

    /// The policy that is rendered with `values`.
    pub fn policy(&self, values: &[&str]) -> Result<AdmissionPolicy> {
        let chart = Chart::new(&self.tools).file("block");
        let chart = values.iter().fold(chart, |chart, value| chart.value(value));
        AdmissionPolicy::compile(chart.render()?.the("ValidatingAdmissionPolicy")?)
    }

    /// A pod as its runner makes it.
    pub fn pod(&self, name: &str) -> Result<&Value> {
        let found = self.pods.iter().find(|(known, _)| known == name);
        Ok(&found.with_context(|| format!("no pod {name}"))?.1)
    }

    /// A pod as the API server gets it from a runner with the patch.
    pub fn patched(&self, name: &str) -> Result<Value> {
        self.patch.apply(&self.tools, self.pod(name)?)
    }
}

/// The names in a pod's list of containers, `containers` or `initContainers`.
#[must_use]
pub fn container_names<'a>(pod: &'a Value, list: &str) -> Vec<&'a str> {
    let containers = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
    let name = |one: &'a Value| one.get("name").and_then(Value::as_str);
    containers.into_iter().flatten().filter_map(name).collect()
}
