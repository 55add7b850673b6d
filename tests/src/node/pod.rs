//! Pods as a kubelet makes them: the pod's cgroup first, then the sandbox, then containers one by one.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use k8s_cri::v1::{
    DnsConfig, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusRequest, PodSandboxStatusResponse,
    RemovePodSandboxRequest, RunPodSandboxRequest, StopPodSandboxRequest,
};
use serde_json::Value;

use super::Inner;
use super::container::{Container, ContainerSpec};
use super::view::FOLDER;
use crate::lab::addresses;

static COUNTER: AtomicU32 = AtomicU32::new(1);

/// How the cgroups of a pod are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupNames {
    /// As the cgroupfs driver of kubelet and containerd does: `/kubepods/besteffort/podUID/ID`.
    Cgroupfs,
    /// As the systemd driver does, in slices and scopes. The names alone: that driver asks systemd, which
    /// is nowhere in the lab.
    Systemd,
}

/// A pod to be.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`; [`PodSpec::new`] gives each pod its own.
    pub uid: String,
    /// How many sandboxes this pod had before.
    pub attempt: u32,
    /// `metadata.labels`; those that a kubelet adds are added.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// The name servers of its resolv.conf.
    pub name_servers: Vec<IpAddr>,
    /// The search list of the pod's resolv.conf.
    pub searches: Vec<String>,
    /// How its cgroups are named.
    pub cgroup_names: CgroupNames,
    /// Whether it shares the node's network.
    pub host_network: bool,
    /// Whether its sandbox may hold privileged containers.
    pub privileged: bool,
}

impl PodSpec {
    /// A pod `name` in the namespace `ci`, which asks the lab's resolver.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (pid, number) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        Self {
            name: name.to_owned(),
            namespace: "ci".to_owned(),
            uid: format!("{pid:08x}-0000-4000-8000-{number:012x}"),
            attempt: 0,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            name_servers: vec![addresses::RESOLVER.v4.into()],
            searches: Vec::new(),
            cgroup_names: CgroupNames::Cgroupfs,
            host_network: false,
            privileged: false,
        }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The path of its cgroup below the node's root: that of a pod without requests and limits.
    fn cgroup(&self) -> String {
        match self.cgroup_names {
            CgroupNames::Cgroupfs => format!("/kubepods/besteffort/pod{}", self.uid),
            // A dash separates the levels of a slice's name (systemd.slice(5)).
            CgroupNames::Systemd => format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{}.slice",
                self.uid.replace('-', "_")
            ),
        }
    }

    /// The path of a container's cgroup below the pod's.
    fn leaf(&self, container: &str) -> String {
        match self.cgroup_names {
            CgroupNames::Cgroupfs => container.to_owned(),
            CgroupNames::Systemd => format!("cri-containerd-{container}.scope"),
        }
    }

    fn config(&self) -> PodSandboxConfig {
        let network = if self.host_network { NamespaceMode::Node } else { NamespaceMode::Pod };
        let namespaces = NamespaceOption {
            network: network.into(),
            pid: NamespaceMode::Container.into(),
            ipc: NamespaceMode::Pod.into(),
            ..NamespaceOption::default()
        };
        let security = LinuxSandboxSecurityContext {
            namespace_options: Some(namespaces),
            privileged: self.privileged,
            ..LinuxSandboxSecurityContext::default()
        };
        let mut labels = owned(&self.labels);
        labels.extend(kubelet_labels(self));
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: self.name.clone(),
                uid: self.uid.clone(),
                namespace: self.namespace.clone(),
                attempt: self.attempt,
            }),
            hostname: if self.host_network { String::new() } else { self.name.clone() },
            log_directory: format!("{FOLDER}/logs/{}_{}_{}", self.namespace, self.name, self.uid),
            dns_config: Some(DnsConfig {
                servers: self.name_servers.iter().map(ToString::to_string).collect(),
                searches: self.searches.clone(),
                // As the kubelet does for pods that ask the cluster's name server.
                options: self.searches.first().map(|_| "ndots:5".to_owned()).into_iter().collect(),
            }),
            labels,
            annotations: owned(&self.annotations),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup(),
                security_context: Some(security),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        }
    }
}

fn owned(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The labels by which a kubelet finds its sandboxes and containers again.
pub(super) fn kubelet_labels(pod: &PodSpec) -> [(String, String); 3] {
    [("name", &pod.name), ("namespace", &pod.namespace), ("uid", &pod.uid)]
        .map(|(field, value)| (format!("io.kubernetes.pod.{field}"), value.clone()))
}

/// A running pod. Nothing happens on drop: the node removes what is left in it.
#[derive(Debug)]
pub struct Pod {
    pub(super) node: Arc<Inner>,
    pub(super) spec: PodSpec,
    pub(super) id: String,
    pub(super) config: PodSandboxConfig,
    facts: Facts,
}

/// What is known of a sandbox once it runs.
#[derive(Debug)]
struct Facts {
    pid: i32,
    netns: Option<PathBuf>,
    addresses: Vec<IpAddr>,
}

impl Pod {
    pub(super) fn run(node: &Arc<Inner>, spec: PodSpec) -> Result<Self> {
        let node = Arc::clone(node);
        let cgroup = node.outer_cgroup(&spec.cgroup());
        fs::create_dir_all(&cgroup).with_context(|| format!("making {}", cgroup.display()))?;
        let config = spec.config();
        let request =
            RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        let mut service = node.cri.pods()?;
        let what = format!("running the sandbox of {}", spec.name);
        let id = node.cri.call(&what, service.run_pod_sandbox(request))?.pod_sandbox_id;
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: true };
        let status = node.cri.call("asking for a sandbox", service.pod_sandbox_status(request))?;
        let facts = facts(&status).with_context(|| format!("reading the status of {id}"))?;
        Ok(Self { node, spec, id, config, facts })
    }

    /// The sandbox's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &PodSpec {
        &self.spec
    }

    /// Its first IPv4 address; none on the node's network.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.facts.addresses.iter().copied().find(IpAddr::is_ipv4)
    }

    /// Every address of it, in CRI's order.
    #[must_use]
    pub fn ips(&self) -> &[IpAddr] {
        &self.facts.addresses
    }

    /// The process of its sandbox container.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.facts.pid
    }

    /// The file of its network namespace, as the node sees it; none on the node's network.
    #[must_use]
    pub fn netns(&self) -> Option<&Path> {
        self.facts.netns.as_deref()
    }

    /// Its cgroup as the node names it, such as `/kubepods/besteffort/podUID`.
    #[must_use]
    pub fn cgroup(&self) -> String {
        self.spec.cgroup()
    }

    /// The folder of its cgroup, as this process sees it.
    #[must_use]
    pub fn cgroup_folder(&self) -> PathBuf {
        self.node.outer_cgroup(&self.spec.cgroup())
    }

    /// The folder of a container's cgroup, as this process sees it.
    #[must_use]
    pub fn container_cgroup_folder(&self, container: &Container) -> PathBuf {
        self.cgroup_folder().join(self.spec.leaf(container.id()))
    }

    /// Creates a container, which does not run yet.
    pub fn create(&self, spec: ContainerSpec) -> Result<Container> {
        Container::create(self, spec, 0)
    }

    /// Creates a container and starts it.
    pub fn start(&self, spec: ContainerSpec) -> Result<Container> {
        let container = self.create(spec)?;
        container.start()?;
        Ok(container)
    }

    /// Stops its containers, then its sandbox; CNI takes the network away.
    pub fn stop(&self) -> Result<()> {
        let request = StopPodSandboxRequest { pod_sandbox_id: self.id.clone() };
        self.node.cri.call("stopping a pod", self.node.cri.pods()?.stop_pod_sandbox(request))?;
        Ok(())
    }

    /// Stops it, removes its sandbox and containers, then its cgroup, as a kubelet does.
    pub fn remove(self) -> Result<()> {
        self.remove_sandbox()?;
        let cgroup = self.cgroup_folder();
        fs::remove_dir(&cgroup).with_context(|| format!("removing {}", cgroup.display()))
    }

    /// Stops it and makes its sandbox anew: a new network namespace under the same uid and cgroup, as
    /// after a death of the sandbox container.
    pub fn recreate(self) -> Result<Self> {
        self.remove_sandbox()?;
        let spec = PodSpec { attempt: self.spec.attempt + 1, ..self.spec };
        Self::run(&self.node, spec)
    }

    /// As [`Self::recreate`], with the next sandbox made before this one ends.
    pub fn supersede(self) -> Result<Self> {
        let spec = PodSpec { attempt: self.spec.attempt + 1, ..self.spec.clone() };
        let next = Self::run(&self.node, spec)?;
        self.remove_sandbox()?;
        Ok(next)
    }

    fn remove_sandbox(&self) -> Result<()> {
        self.stop()?;
        let request = RemovePodSandboxRequest { pod_sandbox_id: self.id.clone() };
        let mut service = self.node.cri.pods()?;
        self.node.cri.call("removing a pod", service.remove_pod_sandbox(request))?;
        Ok(())
    }
}

/// The verbose part of a status is JSON of containerd's own: `info` holds the runtime's specification.
fn facts(status: &PodSandboxStatusResponse) -> Result<Facts> {
    let info: Value = serde_json::from_str(status.info.get("info").context("no info")?)?;
    let pid = info.pointer("/pid").and_then(Value::as_i64).context("no pid")?;
    let namespaces = info.pointer("/runtimeSpec/linux/namespaces").and_then(Value::as_array);
    let netns = namespaces
        .context("no namespaces")?
        .iter()
        .find(|namespace| namespace.get("type").is_some_and(|kind| kind == "network"))
        .and_then(|namespace| namespace.get("path")?.as_str())
        .map(PathBuf::from);
    let network = status.status.as_ref().and_then(|status| status.network.as_ref());
    let mut addresses = Vec::new();
    if let Some(network) = network.filter(|network| !network.ip.is_empty()) {
        addresses.push(network.ip.parse()?);
        for more in &network.additional_ips {
            addresses.push(more.ip.parse()?);
        }
    }
    Ok(Facts { pid: i32::try_from(pid)?, netns, addresses })
}
