//! The event record, schema version 1. Field order is the order of the published format.
//!
//! The schema is closed, so that a record of this version is known by it; the reader is not: fields that it does not know
//! are another weir's, and passed over.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, time::SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_ebpf::{address::protocol, flow::Outcome, reason::Reason};

/// Version of the record's schema.
pub const SCHEMA_VERSION: u32 = 1;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Record {
    /// Version of this schema.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema: u32,
    /// What the record tells of.
    pub kind: Kind,
    /// When it happened: RFC 3339, UTC, milliseconds.
    pub ts: String,
    /// What became of it; in `violation` and `flow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<RecordVerdict>,
    /// Why it was refused or audited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RecordReason>,
    /// The machine.
    pub node: String,
    /// The policy that decided.
    pub policy: PolicyInfo,
    /// The process, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessInfo>,
    /// How the process was found.
    pub attribution: Attribution,
    /// Where it went, or would have gone; absent in a `flow` of those refusals that found no room to be told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// Connects, packets of unconnected sockets, or questions; in `lost`, what was lost; in `tamper`, repairs since the last
    /// such record.
    pub count: u64,
    /// The credential file; in `credential_read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialInfo>,
    /// The process, one that it descends from, or one of its descendants had read a credential file before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub after_credential_read: bool,
    /// What the pod lacks, because of its kernel or its network; in `attach`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// IP bytes sent.
    pub bytes_up: u64,
    /// IP bytes received.
    pub bytes_down: u64,
    /// From the first to the last sight, milliseconds; in `flow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why policies could not come into force; in `policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was put right; in `tamper`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<Repaired>,
    /// The pod; null outside Kubernetes.
    pub pod: Option<PodInfo>,
    /// The container that the process was in; null outside Kubernetes, and where it is not known.
    pub container: Option<String>,
    /// The GitLab CI job; null where there is none.
    pub gitlab: Option<GitlabInfo>,
    /// The GitHub Actions runner; null where there is none.
    pub github: Option<GithubInfo>,
    /// How much is known of whom the record is of; absent where all is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityInfo>,
}

impl Record {
    /// A record that tells of nothing but its kind yet.
    #[must_use]
    pub fn new(kind: Kind, at: SystemTime, node: String, policy: PolicyInfo) -> Self {
        Self {
            schema: SCHEMA_VERSION,
            kind,
            ts: humantime::format_rfc3339_millis(at).to_string(),
            verdict: None,
            reason: None,
            node,
            policy,
            process: None,
            attribution: Attribution::None,
            destination: None,
            count: 0,
            credential: None,
            after_credential_read: false,
            lacks: Vec::new(),
            bytes_up: 0,
            bytes_down: 0,
            duration_ms: None,
            error: None,
            repaired: None,
            pod: None,
            container: None,
            gitlab: None,
            github: None,
            identity: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first sight of something refused, or audited.
    Violation,
    /// The account of one destination of one process, at its end.
    Flow,
    /// Enforcement began.
    Attach,
    /// Enforcement ended.
    Detach,
    /// Records that could not be written.
    Lost,
    /// The first read of a credential file that the profile watches, by this process.
    CredentialRead,
    /// Policies came into force, or others could not, which `error` tells.
    Policy,
    /// Something that holds the pod was changed in the kernel by somebody else, and has been put right; `repaired` says
    /// what.
    Tamper,
}

/// What of a pod's enforcement was put right.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Repaired {
    /// A hook at its cgroup: detached, or with another program.
    Hook,
    /// The slot that a hook was told.
    Slot,
    /// The program on its veth: gone, or another.
    Wire,
    /// The slot that the program on the veth was told.
    Device,
    /// The pin of a link.
    Pin,
    /// Its state: mode, generation, listener.
    State,
    /// The id of its cgroup.
    Cgroup,
    /// A network that is trusted.
    Network,
    /// An address that is allowed.
    Allow,
    /// A table of its own, exchanged for another.
    Table,
    /// The capture of its questions, by nftables in its network.
    Capture,
}

impl Repaired {
    /// All there are, in order.
    pub const ALL: [Self; 11] = [
        Self::Hook,
        Self::Slot,
        Self::Wire,
        Self::Device,
        Self::Pin,
        Self::State,
        Self::Cgroup,
        Self::Network,
        Self::Allow,
        Self::Table,
        Self::Capture,
    ];

    /// The word for it, as in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Slot => "slot",
            Self::Wire => "wire",
            Self::Device => "device",
            Self::Pin => "pin",
            Self::State => "state",
            Self::Cgroup => "cgroup",
            Self::Network => "network",
            Self::Allow => "allow",
            Self::Table => "table",
            Self::Capture => "capture",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordVerdict {
    /// Passed by policy.
    Allow,
    /// Refused.
    Block,
    /// Passed because the profile is in audit mode.
    Audit,
}

impl From<Outcome> for RecordVerdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Allowed => Self::Allow,
            Outcome::Blocked => Self::Block,
            Outcome::Audited => Self::Audit,
        }
    }
}

/// A reason in a record: one of the closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordReason(pub Reason);

impl Serialize for RecordReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for RecordReason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let known = Reason::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.map(Self).ok_or_else(|| serde::de::Error::custom("a reason of no version 1"))
    }
}

impl JsonSchema for RecordReason {
    fn schema_name() -> Cow<'static, str> {
        "Reason".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "enum": Reason::ALL.map(Reason::as_str),
        })
    }
}

/// How the process was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// By a BPF LSM hook.
    Lsm,
    /// By the cgroup's socket hooks.
    Cgroup,
    /// Not at all.
    None,
}

/// A credential file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CredentialInfo {
    /// Its path when it was first seen as one, whatever it is called now; begins with `…` where it is longer than what
    /// is kept. Null where there was no room to keep it.
    pub path: Option<String>,
    /// The entry of `credwatch.paths` that it met, or one that every watch has.
    pub watched: String,
}

/// Something that a pod of another node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// Hooks of security modules: sockets past IP, calls of `bpf()`, leaving the cgroup and reads of credential files are not
    /// seen where they happen.
    Lsm,
    /// The process table: ancestors are those that still run when a process opens its first socket.
    Processes,
    /// A veth whose other end is on the node: nothing judges what leaves past the pod's cgroup.
    Veth,
}

/// The policy that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PolicyInfo {
    /// How the profile was chosen.
    pub scope: Scope,
    /// The profile.
    pub profile: String,
    /// The rule; `default-deny` when none matched.
    pub rule_id: String,
    /// `sha256:` and the digest of what was loaded.
    pub bundle: String,
}

/// How a profile was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Named on the command line.
    Command,
    /// By the job's project, or the repository that its runner is registered for.
    Project,
    /// By the job's group, or the organization or scale set of its runner.
    Group,
    /// By the pod's labels.
    Labels,
    /// By the pod's namespace.
    Namespace,
    /// Nothing chose another.
    Default,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ProcessInfo {
    /// Its name.
    pub comm: String,
    /// The path of its executable.
    pub binary: Option<String>,
    /// Its process id on the machine.
    pub pid: u32,
    /// Digest of its command line, the first 256 bytes of `/proc/PID/cmdline`: FNV-1a, 64 bits; where it is known (from
    /// Linux 7.0 on the kernel may leave a few `execve` calls out under load).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// Names from its oldest ancestor in the job down to itself.
    pub ancestry: Vec<String>,
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Destination {
    /// The name that led there, where one did; the latest where several did.
    pub host: Option<String>,
    /// The other names that led there, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hosts: Vec<String>,
    /// The address; null for a name that was never resolved.
    pub ip: Option<IpAddr>,
    /// The port; null where there is none.
    pub port: Option<u16>,
    /// `tcp`, `udp`, `icmp`, `dns` for a question, or `ip-` and a protocol number.
    pub proto: String,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PodInfo {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its labels, of a pod that no CI system made; at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The object that made it, of a pod that no CI system made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerInfo>,
}

/// The object that made a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OwnerInfo {
    /// `Job`, `ReplicaSet` and the like.
    pub kind: String,
    /// Its name, in the pod's namespace.
    pub name: String,
}

/// How much is known of whom a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityInfo {
    /// The API server has not told of the pod yet.
    Pending,
}

/// A GitLab CI job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct GitlabInfo {
    /// Path of the project.
    pub project: Option<String>,
    /// Its id.
    pub project_id: Option<u64>,
    /// The pipeline's id.
    pub pipeline_id: Option<u64>,
    /// The job's id.
    pub job_id: Option<u64>,
    /// The job's name.
    pub job_name: Option<String>,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Link to the job.
    pub job_url: Option<String>,
    /// Those of these fields that are no more than the job's word: it could have set them.
    pub untrusted: Vec<Cow<'static, str>>,
}

/// A runner of a GitHub runner scale set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct GithubInfo {
    /// The scale set.
    pub scale_set: String,
    /// The enterprise that it is registered for.
    pub enterprise: Option<String>,
    /// The organization that it is registered for, or the owner of the repository.
    pub organization: Option<String>,
    /// The repository that it is registered for, `owner/name`.
    pub repository: Option<String>,
}

/// The name of a protocol number.
#[must_use]
pub fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMP | protocol::ICMPV6 => "icmp".to_owned(),
        other => format!("ip-{other}"),
    }
}
