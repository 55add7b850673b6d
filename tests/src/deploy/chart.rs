//! The chart, rendered by Helm and read by kubectl.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::tools::Tools;
use crate::exec::{self, DEFAULT_LIMIT, Output};

/// The namespace of the rendered release, and its name unless it is given another.
const NAMESPACE: &str = "weir";
const RELEASE: &str = "weir";

/// The chart with some values.
#[derive(Clone, Debug)]
pub struct Chart<'t> {
    tools: &'t Tools,
    files: Vec<PathBuf>,
    values: Vec<String>,
    kubernetes: Option<String>,
    release: &'static str,
}

impl<'t> Chart<'t> {
    /// With no values but its own.
    #[must_use]
    pub fn new(tools: &'t Tools) -> Self {
        let (files, values) = (Vec::new(), Vec::new());
        Self { tools, files, values, kubernetes: None, release: RELEASE }
    }

    /// With the values of a file of `deploy/values`, named without `.yaml`.
    #[must_use]
    pub fn file(mut self, name: &str) -> Self {
        self.files.push(super::path(&format!("values/{name}.yaml")));
        self
    }

    /// With one value more, `KEY=JSON`.
    #[must_use]
    pub fn value(mut self, assignment: &str) -> Self {
        self.values.push(assignment.to_owned());
        self
    }

    /// For a cluster of this version.
    #[must_use]
    pub fn on(mut self, kubernetes: &str) -> Self {
        self.kubernetes = Some(kubernetes.to_owned());
        self
    }

    /// With another name of the release.
    #[must_use]
    pub const fn named(mut self, release: &'static str) -> Self {
        self.release = release;
        self
    }

    /// Runs `helm lint --strict`.
    pub fn lint(&self) -> Result<Output> {
        self.helm(&["lint", "--strict"], &[])
    }

    /// Runs `helm template`.
    pub fn template(&self) -> Result<Output> {
        self.helm(&["template", "--namespace", NAMESPACE], &[self.release])
    }

    /// The objects that it renders.
    pub fn render(&self) -> Result<Manifests> {
        let text = self.template()?.expect_code(0)?.stdout;
        Ok(Manifests { objects: self.tools.objects(&text)? })
    }

    /// What Helm says when it does not render.
    pub fn refusal(&self) -> Result<String> {
        let output = self.template()?;
        ensure!(output.code != 0, "it renders {:?} {:?}", self.files, self.values);
        Ok(output.stderr)
    }

    fn helm(&self, verb: &[&str], before: &[&str]) -> Result<Output> {
        let mut helm = self.tools.helm();
        helm.args(verb).args(before).arg(super::path("chart"));
        if let Some(kubernetes) = &self.kubernetes {
            helm.args(["--kube-version", kubernetes]);
        }
        for file in &self.files {
            helm.arg("--values").arg(file);
        }
        for value in &self.values {
            helm.args(["--set-json", value]);
        }
        exec::run(helm, DEFAULT_LIMIT)
    }
}

/// Rendered objects.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// All of them.
    pub objects: Vec<Value>,
}

impl Manifests {
    /// The objects of one kind.
    pub fn of_kind<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object.get("kind").is_some_and(|it| it == kind))
    }

    /// The one object of its kind.
    pub fn the(&self, kind: &str) -> Result<&Value> {
        let mut found = self.of_kind(kind);
        let first = found.next().with_context(|| format!("no {kind} is rendered"))?;
        ensure!(found.next().is_none(), "several {kind}s are rendered");
        Ok(first)
    }

    /// The object of a kind and name.
    pub fn named(&self, kind: &str, name: &str) -> Result<&Value> {
        let mut found = self.of_kind(kind);
        let object =
            found.find(|object| object.pointer("/metadata/name").is_some_and(|it| it == name));
        object.with_context(|| format!("no {kind} {name} is rendered"))
    }
}
