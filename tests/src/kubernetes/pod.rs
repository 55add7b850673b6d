//! Pods as the API server tells of them.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

/// The kinds of a pod's containers, each with a list of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Run to their end before all others.
    Init,
    /// The job's own.
    Ordinary,
    /// Added to a pod that runs.
    Ephemeral,
}

impl Kind {
    const fn list(self) -> &'static str {
        match self {
            Self::Init => "/status/initContainerStatuses",
            Self::Ordinary => "/status/containerStatuses",
            Self::Ephemeral => "/status/ephemeralContainerStatuses",
        }
    }
}

/// A pod at one time.
#[derive(Clone, Debug)]
pub struct PodState {
    value: Value,
}

impl PodState {
    /// From the API server's words.
    #[must_use]
    pub const fn new(value: Value) -> Self {
        Self { value }
    }

    /// Whether it is in `phase`.
    #[must_use]
    pub fn is_in(&self, phase: &str) -> bool {
        self.value.pointer("/status/phase").is_some_and(|found| found == phase)
    }

    /// The uid.
    pub fn uid(&self) -> Result<&str> {
        text(&self.value, "/metadata/uid")
    }

    /// When the kubelet took it on, to the second and in a form that sorts as text, as all times here.
    pub fn started_at(&self) -> Result<&str> {
        text(&self.value, "/status/startTime")
    }

    /// The folder of its logs on the node, where every kubelet has it.
    pub fn logs(&self) -> Result<String> {
        let [namespace, name] = ["namespace", "name"].map(|key| format!("/metadata/{key}"));
        let (namespace, name) = (text(&self.value, &namespace)?, text(&self.value, &name)?);
        Ok(format!("/var/log/pods/{namespace}_{name}_{}", self.uid()?))
    }

    /// What is told of a container.
    pub fn container(&self, kind: Kind, name: &str) -> Result<ContainerState<'_>> {
        let all = self.value.pointer(kind.list()).and_then(Value::as_array);
        let found = all.and_then(|all| {
            all.iter().find(|one| one.get("name").is_some_and(|found| found == name))
        });
        let value = found.with_context(|| format!("no status of {name} in {self}"))?;
        Ok(ContainerState { value, logs: format!("{}/{name}", self.logs()?) })
    }

    /// Whether a container runs.
    #[must_use]
    pub fn runs(&self, kind: Kind, name: &str) -> bool {
        self.container(kind, name).is_ok_and(|container| container.is("running"))
    }

    /// Whether a container has ended.
    #[must_use]
    pub fn has_ended(&self, kind: Kind, name: &str) -> bool {
        self.container(kind, name).is_ok_and(|container| container.is("terminated"))
    }

    /// Whether a container is there, and is another than that of the id `old`.
    #[must_use]
    pub fn is_another(&self, kind: Kind, name: &str, old: &str) -> bool {
        self.container(kind, name).and_then(|container| container.id()).is_ok_and(|id| id != old)
    }
}

impl fmt::Display for PodState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

/// A container of a [`PodState`].
#[derive(Clone, Debug)]
pub struct ContainerState<'a> {
    value: &'a Value,
    logs: String,
}

impl ContainerState<'_> {
    /// Whether it is `waiting`, `running` or `terminated`.
    #[must_use]
    pub fn is(&self, state: &str) -> bool {
        self.value.pointer(&format!("/state/{state}")).is_some_and(Value::is_object)
    }

    /// Whether there has never been a container of this name.
    #[must_use]
    pub fn never_was(&self) -> bool {
        self.value.get("containerID").is_none() && self.value.get("lastState").is_none_or(is_empty)
    }

    /// Its id, without the runtime's name.
    pub fn id(&self) -> Result<String> {
        let id = text(self.value, "/containerID")?;
        let id = id.strip_prefix("containerd://");
        Ok(id.with_context(|| format!("not of containerd: {self}"))?.to_owned())
    }

    /// The exit code of one that has ended.
    pub fn exit_code(&self) -> Result<i64> {
        let code = self.value.pointer("/state/terminated/exitCode").and_then(Value::as_i64);
        code.with_context(|| format!("it has not ended: {self}"))
    }

    /// When it was started.
    pub fn started_at(&self) -> Result<&str> {
        let state = if self.is("running") { "running" } else { "terminated" };
        text(self.value, &format!("/state/{state}/startedAt"))
    }

    /// When it ended.
    pub fn finished_at(&self) -> Result<&str> {
        text(self.value, "/state/terminated/finishedAt")
    }

    /// How many of this name there were before.
    pub fn attempt(&self) -> Result<u64> {
        self.value.get("restartCount").and_then(Value::as_u64).context("no restart count")
    }

    /// The file on the node that has what it writes.
    pub fn log(&self) -> Result<String> {
        Ok(format!("{}/{}.log", self.logs, self.attempt()?))
    }
}

impl fmt::Display for ContainerState<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_none_or(serde_json::Map::is_empty)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no {pointer} in {value}"))
}
