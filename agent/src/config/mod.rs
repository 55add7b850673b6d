//! The node agent's configuration: strict YAML, read like a profile, every key with a default.
//!
//! [`Config::from_file`] reads it, [`Config::default`] is what an empty file means, and [`Config::render`]
//! writes the whole with comments, in a form that reads back as the same.
//!
//! Invariant: a `Config` is complete and checked; who uses it parses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use crate::system::cgroup::{self, CgroupError};

mod error;
mod problem;
mod read;
mod render;
mod select;
#[cfg(test)]
mod tests;
mod value;

pub use error::ConfigError;
pub use problem::{Problem, Report};

/// The name of the profile that is built in and denies everything.
pub const DENY_ALL: &str = "deny-all";

/// What the agent does, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's name in records; `None` asks the machine, see [`Config::node_name`].
    pub node: Option<String>,
    /// How to reach containerd.
    pub containerd: Containerd,
    /// Where cgroup2 is mounted; `None` finds it, see [`Config::cgroup_root`].
    pub cgroup_root: Option<PathBuf>,
    /// The folder below a BPF file system for pins.
    pub bpffs: PathBuf,
    /// Which profiles there are and who gets which.
    pub policy: Policy,
    /// Which pods are enforced.
    pub select: Select,
    /// The resolver.
    pub dns: Dns,
    /// What is refused ahead of every profile.
    pub hard_blocks: HardBlocks,
    /// Sizes.
    pub limits: Limits,
    /// What a pod must have to count as enforced.
    pub require: Require,
    /// GitLab Runner's pods.
    pub gitlab: Gitlab,
    /// The API server.
    pub kubernetes: Kubernetes,
    /// Where records go.
    pub events: Events,
    /// The page that tells a job what it was refused.
    pub job_page: JobPage,
    /// Where health is served; `None` is nowhere.
    pub http: Option<SocketAddr>,
    /// The control socket.
    pub control: PathBuf,
    /// The agent's own log.
    pub log: Log,
}

/// How to reach containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containerd {
    /// Its socket.
    pub socket: PathBuf,
    /// Its namespace (not one of Kubernetes).
    pub namespace: String,
}

/// Which profiles there are and who gets which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The folder whose `*.yaml` files are profiles.
    pub dir: PathBuf,
    /// Whether profiles hold their pods back or all are only watched.
    pub mode: PolicyMode,
    /// The profile of pods whose namespace names none.
    pub default: String,
    /// Profiles by Kubernetes namespace.
    pub namespaces: BTreeMap<String, String>,
}

/// Who says whether a pod is held back or only watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyMode {
    /// Each profile, by its own `mode`.
    Profiles,
    /// The node: every pod is in audit mode, those of the built-in profile too.
    Audit,
}

/// Which pods are enforced; pods that carry the barrier are, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Kubernetes namespaces, of which a pod must be in one.
    pub namespaces: BTreeSet<String>,
    /// Labels that a pod must carry, all of them.
    pub pod_labels: BTreeMap<String, String>,
}

/// The resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Name servers; if empty, those of the node's `resolv.conf`.
    pub upstreams: Vec<SocketAddr>,
    /// Answers in the cache that pods share.
    pub cache_entries: NonZeroU32,
}

/// What is refused ahead of every profile, and in audit mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardBlocks {
    /// The metadata services of clouds.
    pub metadata: bool,
    /// Port 853: DNS over TLS and QUIC.
    pub dot: bool,
}

/// GitLab Runner's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gitlab {
    /// What the runner writes into annotations is its own word: no runner of the cluster lets jobs overwrite them.
    pub trust_annotations: bool,
    /// Labels beside the runner's own are the operator's: no runner of the cluster lets jobs write them.
    pub trust_labels: bool,
}

/// The API server, which is asked who made a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Whether it is asked.
    pub enabled: Switch,
    /// How to reach it; `None` is the service account of the agent's own pod.
    pub kubeconfig: Option<PathBuf>,
}

/// On, off, or as the surroundings have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Where there is a service account or a kubeconfig.
    Auto,
    /// On.
    On,
    /// Off.
    Off,
}

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Addresses that a pod may be allowed at one time.
    pub entries_per_pod: NonZeroU32,
    /// Pods that can be enforced at one time, and one more: slot 0 serves none.
    pub pod_slots: NonZeroU32,
    /// Processes of all pods that are followed at one time.
    pub processes: NonZeroU32,
}

/// What a pod must have to count as enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Require {
    /// The hooks of security modules.
    pub lsm: bool,
    /// The second layer, at the pod's veth.
    pub veth: bool,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// To standard output, one a line.
    pub stdout: bool,
    /// To a file that is appended to.
    pub file: Option<PathBuf>,
    /// How large it may grow before it is replaced, in MiB.
    pub file_mebibytes: NonZeroU32,
    /// How many replaced ones are kept.
    pub file_keep: NonZeroU32,
    /// To an OpenTelemetry collector at this `http://` or `https://` address, over gRPC.
    pub otlp: Option<String>,
}

/// The page that tells a job what it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPage {
    /// What it says of how to ask for more; lines of text.
    pub help: Option<String>,
}

/// The agent's own log, on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its form. The level is the environment's (`WEIR_LOG`).
    pub format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: None,
            containerd: Containerd {
                socket: PathBuf::from("/run/containerd/containerd.sock"),
                namespace: "k8s.io".to_owned(),
            },
            cgroup_root: None,
            bpffs: PathBuf::from("/sys/fs/bpf/weir"),
            policy: Policy {
                dir: PathBuf::from("/etc/weir/policy"),
                mode: PolicyMode::Profiles,
                default: DENY_ALL.to_owned(),
                namespaces: BTreeMap::new(),
            },
            select: Select {
                namespaces: BTreeSet::from(["ci".to_owned()]),
                pod_labels: BTreeMap::new(),
            },
            dns: Dns { upstreams: Vec::new(), cache_entries: CACHE_ENTRIES },
            hard_blocks: HardBlocks { metadata: true, dot: true },
            limits: Limits {
                entries_per_pod: ENTRIES_PER_POD,
                pod_slots: POD_SLOTS,
                processes: PROCESSES,
            },
            require: Require { lsm: false, veth: true },
            gitlab: Gitlab { trust_annotations: false, trust_labels: false },
            kubernetes: Kubernetes { enabled: Switch::Auto, kubeconfig: None },
            events: Events {
                stdout: true,
                file: None,
                file_mebibytes: FILE_MEBIBYTES,
                file_keep: FILE_KEEP,
                otlp: None,
            },
            job_page: JobPage { help: None },
            http: Some(SocketAddr::from(([127, 0, 0, 1], 9411))),
            control: PathBuf::from("/run/weir/weir.sock"),
            log: Log { format: LogFormat::Text },
        }
    }
}

const CACHE_ENTRIES: NonZeroU32 = NonZeroU32::MIN.saturating_add(65_535);
const FILE_MEBIBYTES: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
const FILE_KEEP: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
const ENTRIES_PER_POD: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);
/// All that the kernel's maps have.
const POD_SLOTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);
const _: () = assert!(POD_SLOTS.get() as usize == weir_ebpf::pod::SLOTS);
/// Likewise.
const PROCESSES: NonZeroU32 = NonZeroU32::MIN.saturating_add(65_535);
const _: () = assert!(PROCESSES.get() as usize == weir_ebpf::lineage::PROCESSES);

impl Config {
    /// Reads a configuration file. An empty one is all defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the file cannot be read or anything in it is wrong.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let (name, text) = error::read_file(path)?;
        Self::from_yaml(&name, &text)
    }

    /// Reads the text of a configuration; `source_name` stands in messages.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with everything that is wrong.
    pub fn from_yaml(source_name: &str, text: &str) -> Result<Self, ConfigError> {
        read::config(source_name, text)
    }

    /// The whole configuration as YAML, every key with a comment; it reads back as the same.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(self)
    }

    /// The node's name: the configured one, else that of the environment's `NODE_NAME`, else the host's.
    ///
    /// # Errors
    ///
    /// When the host's name is needed and cannot be asked for.
    pub fn node_name(&self, from_environment: Option<&OsStr>) -> io::Result<String> {
        if let Some(name) = &self.node {
            return Ok(name.clone());
        }
        match from_environment.filter(|name| !name.is_empty()) {
            Some(name) => Ok(name.to_string_lossy().into_owned()),
            None => Ok(nix::unistd::gethostname()?.to_string_lossy().into_owned()),
        }
    }

    /// Where cgroup2 is mounted.
    ///
    /// # Errors
    ///
    /// [`CgroupError`] when it has to be found and is not mounted.
    pub fn cgroup_root(&self) -> Result<PathBuf, CgroupError> {
        self.cgroup_root.clone().map_or_else(cgroup::root, Ok)
    }
}

impl PolicyMode {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profiles => "profiles",
            Self::Audit => "audit",
        }
    }
}

impl Switch {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "true",
            Self::Off => "false",
        }
    }
}

impl LogFormat {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
