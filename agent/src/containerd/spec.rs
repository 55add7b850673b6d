//! The parts of an OCI runtime specification (config.md, config-linux.md) that say where a container is.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `config.json`, as containerd stores it with a container.
#[derive(Debug, Deserialize)]
pub(super) struct Spec {
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) linux: Linux,
}

/// The Linux part.
#[derive(Debug, Deserialize)]
pub(super) struct Linux {
    #[serde(rename = "cgroupsPath", default)]
    pub(super) cgroups_path: String,
    #[serde(default)]
    pub(super) namespaces: Vec<Namespace>,
}

/// One entry of `linux.namespaces`.
#[derive(Debug, Deserialize)]
pub(super) struct Namespace {
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Where to find it; a new one is made when there is none.
    #[serde(default)]
    pub(super) path: String,
}
