//! The pods' network: a CNI configuration, and a node that forwards and masquerades for them.

use std::fs::{self, File};

use anyhow::{Context, Result};
use serde_json::json;

use super::view::View;
use crate::exec::{self, DEFAULT_LIMIT};
use crate::lab::Client;

/// How pods are connected to their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cni {
    /// Every pod's veth is a port of one bridge.
    Bridge,
    /// Every pod's veth is routed by the node; no bridge.
    Ptp,
}

/// The pods' addresses. Each node has its own internet, so all may use the same.
const PODS_V4: &str = "10.88.0.0/16";
const PODS_V6: &str = "fd00:10:88::/64";
/// The name of the pods' network.
const NETWORK: &str = "pods";
/// Where Debian installs the plug-ins.
pub(super) const PLUGINS: &str = "/usr/lib/cni";
/// The folder of configurations, in the view.
pub(super) const CONFIGURATIONS: &str = "/run/node/cni/conf";

const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/// Where the plug-in for addresses keeps which are taken.
const LEASES: &str = "/run/node/cni/leases";

/// Pods get no address while this is held: CNI waits for one with the veth made. As the plug-in locks out others
/// of itself (flock(2)).
#[derive(Debug)]
pub struct HeldAddresses {
    _lock: File,
}

pub(super) fn hold_addresses(view: &View) -> Result<HeldAddresses> {
    let folder = view.path(LEASES).join(NETWORK);
    fs::create_dir_all(&folder).context("making the folder of the pods' addresses")?;
    let lock = File::create(folder.join("lock")).context("opening the lock of the addresses")?;
    lock.lock().context("locking the addresses")?;
    Ok(HeldAddresses { _lock: lock })
}

/// Writes the configuration for `cni` and makes the client's machine a router for pods.
pub(super) fn set_up(view: &View, client: &Client, cni: Cni) -> Result<()> {
    let file = format!("{CONFIGURATIONS}/10-pods.conflist");
    view.write(&file, configuration(cni).to_string().as_bytes(), 0o644)?;
    client.host().run(async {
        for key in FORWARDING {
            fs::write(format!("/proc/sys/{key}"), "1").with_context(|| format!("setting {key}"))?;
        }
        anyhow::Ok(())
    })??;
    let mut nft = client.host().enter("nft");
    nft.arg(format!(
        "table inet node {{
            chain leave {{
                type nat hook postrouting priority srcnat;
                ip saddr {PODS_V4} oifname eth0 masquerade
                ip6 saddr {PODS_V6} oifname eth0 masquerade
            }}
        }}"
    ));
    exec::run(nft, DEFAULT_LIMIT)?.expect_code(0).context("masquerading for pods")?;
    Ok(())
}

fn configuration(cni: Cni) -> serde_json::Value {
    let ipam = json!({
        "type": "host-local",
        "dataDir": LEASES,
        "ranges": [[{"subnet": PODS_V4}], [{"subnet": PODS_V6}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    });
    let plugin = match cni {
        Cni::Bridge => json!({
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "hairpinMode": true,
            "ipam": ipam,
        }),
        Cni::Ptp => json!({"type": "ptp", "ipam": ipam}),
    };
    json!({"cniVersion": "1.0.0", "name": NETWORK, "plugins": [plugin]})
}
