//! GitLab Runner's patch of pod specs, made the way that the runner makes it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::tools::{self, Tools};

/// The patch that `deploy/gitlab-runner/config.toml` has the runner make.
#[derive(Clone, Debug)]
pub struct Patch {
    /// How it is merged.
    pub kind: String,
    /// What is merged into a pod's spec, as YAML.
    pub text: String,
}

impl Patch {
    /// Reads the one patch of a `config.toml`.
    pub fn read(config: &toml::Table) -> Result<Self> {
        let runners = config.get("runners").and_then(toml::Value::as_array);
        let runner = runners.and_then(|all| all.first()).context("no [[runners]]")?;
        let patches = runner.get("kubernetes").and_then(|kubernetes| kubernetes.get("pod_spec"));
        let patches = patches.and_then(toml::Value::as_array).context("no pod_spec")?;
        let [patch] = patches.as_slice() else { anyhow::bail!("{} patches", patches.len()) };
        let text = |key: &str| -> Result<String> {
            let found = patch.get(key).and_then(toml::Value::as_str);
            Ok(found.with_context(|| format!("a patch without {key}"))?.to_owned())
        };
        Ok(Self { kind: text("patch_type")?, text: text("patch")? })
    }

    /// A patch in the form of another.
    #[must_use]
    pub fn strategic(text: &str) -> Self {
        Self { kind: "strategic".to_owned(), text: text.to_owned() }
    }

    /// `pod` after the patch: the merge is that of Kubernetes' own library, which runner and kubectl both call.
    pub fn apply(&self, tools: &Tools, pod: &Value) -> Result<Value> {
        let indented: Vec<String> = self.text.lines().map(|line| format!("  {line}")).collect();
        let patch = tempfile::NamedTempFile::new()?;
        std::fs::write(patch.path(), format!("spec:\n{}\n", indented.join("\n")))?;
        let mut kubectl = tools.kubectl();
        kubectl.args(["patch", "--local", "--type", &self.kind, "--output", "json"]);
        kubectl.arg("--patch-file").arg(patch.path());
        let output = tools::run_with(kubectl, &pod.to_string())?.expect_code(0)?;
        serde_json::from_str(&output.stdout).context("reading a patched pod")
    }
}

/// Pods as GitLab Runner makes them, each with the name of its file.
pub fn pods(tools: &Tools) -> Result<Vec<(String, Value)>> {
    let mut pods = Vec::new();
    for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join("pods").read_dir()? {
        let path = entry?.path();
        let name = path.file_stem().context("a pod without a name")?.to_string_lossy().into_owned();
        let mut objects = tools.objects(&std::fs::read_to_string(&path)?)?;
        let pod = objects.pop().filter(|pod| pod.get("kind") == Some(&json!("Pod")));
        pods.push((name, pod.with_context(|| format!("no pod in {}", path.display()))?));
    }
    ensure!(!pods.is_empty(), "no pods");
    pods.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(pods)
}
