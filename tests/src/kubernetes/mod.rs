//! A real Kubernetes: its control plane on this machine, a kubelet on a node of the lab in a virtual machine.
//!
//! A kubelet that gives each pod its cgroup needs controllers of cgroup version 2, which a machine may lack; the
//! virtual machine has them. All that Go does is slow under emulation, so what can stay outside stays outside, on
//! loopback of a namespace that the machine's network leads to.

mod api;
mod control_plane;
mod kubelet;
mod pod;
mod programs;

use std::path::Path;

use serde_json::{Value, json};

pub use self::api::{Api, PodWatch, Watch};
pub use self::control_plane::ControlPlane;
pub use self::kubelet::Kubelet;
pub use self::pod::{ContainerState, Kind, PodState};
pub use self::programs::Programs;

/// The node's name, which its user name carries too.
pub const NODE: &str = "node";
/// The namespace of the jobs.
pub const NAMESPACE: &str = "ci";

/// Where the API server listens, on loopback of its namespace.
const PORT: u16 = 6443;
/// The addresses of services, and of them the one at which pods find the API server.
const SERVICES: &str = "10.96.0.0/16";
const SERVICE: &str = "10.96.0.1";
/// The tokens of who may call: whoever administrates, and the kubelet as the node that it is.
const ADMINISTRATOR: &str = "lab-administrator";
const KUBELET: &str = "lab-kubelet";
/// The authority's certificate, in the folder that host and guest share.
const AUTHORITY: &str = "authority.pem";

/// Tells a client of Kubernetes where the API server is, and who calls it.
fn kubeconfig(host: &str, authority: &Path, token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {
            "server": format!("https://{host}:{PORT}"),
            "certificate-authority": authority,
        }}],
        "users": [{"name": "caller", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "caller"}}],
        "current-context": "lab",
    })
}

/// The end of a log, for messages.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(80)..).unwrap_or_default().join("\n")
}
