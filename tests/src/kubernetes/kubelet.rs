//! The kubelet of a node in a guest.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{AUTHORITY, Api, KUBELET, NODE, PORT, Programs, SERVICE, kubeconfig, last_lines};
use crate::exec::{self, Running};
use crate::lab::addresses;
use crate::node::Node;
use crate::vm;

/// Its files, on the node.
const FOLDER: &str = "/run/node/kubelet";
const LOG: &str = "/run/node/kubelet.log";
/// How long it may take until it tells that its node is ready.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// A running kubelet; killed on drop.
#[derive(Debug)]
pub struct Kubelet {
    _process: Running,
}

impl Kubelet {
    /// Starts it on `node`, whose machine's network it takes to reach the API server; `folder` is what the control
    /// plane left. Returns once it reports the node as ready.
    pub fn start(node: &Node, programs: &Programs, folder: &Path) -> Result<Self> {
        let inside = node.path(FOLDER);
        fs::create_dir_all(&inside)?;
        fs::write(inside.join("config.json"), configuration().to_string())?;
        let server = kubeconfig(vm::HOST, &folder.join(AUTHORITY), KUBELET);
        fs::write(inside.join("server.json"), server.to_string())?;
        let mut command = node.command("sh");
        command.args(["-c", &format!("exec \"$@\" > {LOG} 2>&1"), "sh"]);
        command.arg(programs.path("kubelet"));
        command.arg(format!("--config={FOLDER}/config.json"));
        command.arg(format!("--kubeconfig={FOLDER}/server.json"));
        command.arg(format!("--root-dir={FOLDER}/root"));
        command.arg(format!("--cert-dir={FOLDER}/certificates"));
        command.arg(format!("--hostname-override={NODE}"));
        command.arg(format!("--node-ip={}", addresses::CLIENT.v4));
        command.args(["--container-runtime=remote", "--v=2"]);
        command.arg("--container-runtime-endpoint=unix:///run/containerd/containerd.sock");
        let kubelet = Self { _process: exec::spawn_as(command, "kubelet".to_owned())? };
        let ready =
            Api::new(node, folder).watch("/api/v1/nodes", NODE)?.until(READY_LIMIT, is_ready);
        ready.with_context(|| format!("the node does not get ready:\n{}", Self::log(node)))?;
        Ok(kubelet)
    }

    /// Leads what a node's own processes send to the service of the API server there, as kube-proxy would.
    pub fn lead_to_api_server(node: &Node) -> Result<()> {
        let rules = format!(
            "table ip services {{ chain output {{ type nat hook output priority -100; \
             ip daddr {SERVICE} tcp dport 443 dnat to {}:{PORT}; }}; }}",
            vm::HOST
        );
        let mut nft = node.command("nft");
        nft.arg(rules);
        exec::run(nft, READY_LIMIT)?.expect_code(0).map(drop)
    }

    /// What the node's kubelet has logged last, for messages.
    #[must_use]
    pub fn log(node: &Node) -> String {
        last_lines(&fs::read_to_string(node.path(LOG)).unwrap_or_default())
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|conditions| {
        let has = |one: &Value, key, value| one.get(key).is_some_and(|found| found == value);
        conditions.iter().any(|one| has(one, "type", "Ready") && has(one, "status", "True"))
    })
}

/// Every pod gets its cgroup, as by default; nothing is evicted from a disk that is memory.
fn configuration() -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": ["pods"],
        "clusterDNS": [addresses::RESOLVER.v4],
        "clusterDomain": "cluster.local",
        "evictionHard": {"memory.available": "10Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failSwapOn": false,
        "featureGates": {"EphemeralContainers": true},
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false,
        "readOnlyPort": 0,
    })
}
