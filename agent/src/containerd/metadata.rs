//! What the CRI plug-in stores with a sandbox: the extension `io.cri-containerd.sandbox.metadata`, JSON of
//! containerd's `internal/cri/store/sandbox` (`pkg/cri/store/sandbox` up to 1.7), version `v1`.
//!
//! It is containerd's own format; only what weir needs is read, and the version is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The version that this reads.
pub(super) const VERSION: &str = "v1";

/// The stored value.
#[derive(Debug, Deserialize)]
pub(super) struct Versioned {
    #[serde(rename = "Version")]
    pub(super) version: String,
    #[serde(rename = "Metadata")]
    pub(super) metadata: Metadata,
}

/// One sandbox.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    #[serde(rename = "ID")]
    pub(super) id: String,
    /// What the kubelet asked for.
    #[serde(rename = "Config")]
    pub(super) config: Config,
    /// Empty for the host's namespace.
    #[serde(rename = "NetNSPath", default)]
    pub(super) network_namespace: String,
}

/// The kubelet's `PodSandboxConfig`, as Go's JSON of the CRI's types.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    pub(super) metadata: PodMetadata,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) linux: Option<Linux>,
    #[serde(rename = "dns_config", default)]
    pub(super) dns: Option<DnsConfig>,
}

/// The kubelet's `DNSConfig`, from which the pod's resolv.conf is written.
#[derive(Debug, Default, Deserialize)]
pub(super) struct DnsConfig {
    #[serde(default)]
    pub(super) searches: Option<Vec<String>>,
}

/// The kubelet's `PodSandboxMetadata`. Go leaves out zero values.
#[derive(Debug, Deserialize)]
pub(super) struct PodMetadata {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) attempt: u32,
}

/// The kubelet's `LinuxPodSandboxConfig`.
#[derive(Debug, Deserialize)]
pub(super) struct Linux {
    #[serde(default)]
    pub(super) cgroup_parent: String,
}
