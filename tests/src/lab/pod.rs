//! A node with pods as CNI plug-ins make them, and a Docker-like bridge with a container in a pod.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::{addresses::Pair, host::Host, netns};

/// How the node joins a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// One network on a bridge, the bridge being the gateway.
    Bridge,
    /// A route to each pod, and a gateway that no network holds.
    Ptp,
}

/// A host of the pods' network.
const fn outer(host: u8) -> Pair {
    Pair {
        v4: Ipv4Addr::new(198, 51, 100, host),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0x10, 0, 0, 0, 0, host as u16),
    }
}

/// A host of the network in the pod.
const fn nested(host: u8) -> Pair {
    Pair {
        v4: Ipv4Addr::new(172, 17, 0, host),
        v6: Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, host as u16),
    }
}

/// The node's end of the pods' network.
pub const GATEWAY: Pair = outer(1);
/// The pod that is looked at.
pub const POD: Pair = outer(2);
/// Another pod on the same node.
pub const NEIGHBOUR: Pair = outer(3);
/// The bridge in the pod.
pub const INNER_GATEWAY: Pair = nested(1);
/// The container on that bridge.
pub const INNER: Pair = nested(2);

/// A node with two pods, one with a container of its own. Dropping it removes all.
#[derive(Debug)]
pub struct PodLab {
    /// A container behind a bridge in `pod`.
    pub inner: Host,
    /// The pod.
    pub pod: Host,
    /// Another pod.
    pub neighbour: Host,
    /// What the agent stands on.
    pub node: Host,
}

impl PodLab {
    /// Builds it; the pod's uplink is called `uplink` inside. Needs root.
    pub fn new(plugin: Plugin, uplink: &str) -> Result<Self> {
        netns::sweep()?;
        let node = Host::create("node", &GATEWAY.both(), true)?;
        if plugin == Plugin::Bridge {
            let Pair { v4, v6 } = GATEWAY;
            node.netns().links(&format!(
                "link add cni0 type bridge\nlink set cni0 up\n\
                 addr add {v4}/24 dev cni0\naddr add {v6}/64 dev cni0 nodad\n"
            ))?;
        }
        let pod = Host::create("pod", &POD.both(), true)?;
        join(&node, &pod, plugin, POD, uplink)?;
        let neighbour = Host::create("neighbour", &NEIGHBOUR.both(), false)?;
        join(&node, &neighbour, plugin, NEIGHBOUR, "eth0")?;
        let inner = Host::create("inner", &INNER.both(), false)?;
        nest(&pod, &inner)?;
        Ok(Self { inner, pod, neighbour, node })
    }

    /// One more pod without a container, with the address of [`POD`] in a node's namespace of its own.
    pub fn plain(plugin: Plugin) -> Result<(Host, Host)> {
        let (node, pod) = Self::apart()?;
        join(&node, &pod, plugin, POD, "eth0")?;
        Ok((node, pod))
    }

    /// A node and a pod as CNI finds them, with nothing between them.
    pub fn apart() -> Result<(Host, Host)> {
        let node = Host::create("node", &[], true)?;
        let pod = Host::create("pod", &POD.both(), false)?;
        Ok((node, pod))
    }
}

fn join(node: &Host, pod: &Host, plugin: Plugin, own: Pair, uplink: &str) -> Result<()> {
    let Pair { v4, v6 } = own;
    let gateway = GATEWAY;
    let end = format!("veth{}", v4.octets()[3]);
    let name = pod.netns().name();
    let mut outside =
        format!("link add {end} type veth peer name {uplink} netns {name}\nlink set {end} up\n");
    let (v4_bits, v6_bits) = match plugin {
        Plugin::Bridge => {
            writeln!(outside, "link set {end} master cni0")?;
            (24, 64)
        }
        Plugin::Ptp => {
            writeln!(
                outside,
                "addr replace {}/32 dev {end}\naddr replace {}/128 dev {end} nodad\n\
                 route add {v4}/32 dev {end}\nroute add {v6}/128 dev {end}",
                gateway.v4, gateway.v6
            )?;
            (32, 128)
        }
    };
    node.netns().links(&outside)?;
    pod.netns().links(&format!(
        "link set {uplink} up\n\
         addr add {v4}/{v4_bits} dev {uplink}\naddr add {v6}/{v6_bits} dev {uplink} nodad\n\
         route add default via {} dev {uplink} onlink\n\
         route add default via {} dev {uplink} onlink\n",
        gateway.v4, gateway.v6
    ))
}

fn nest(pod: &Host, inner: &Host) -> Result<()> {
    let name = inner.netns().name();
    let (gateway, own) = (INNER_GATEWAY, INNER);
    pod.netns().links(&format!(
        "link add docker0 type bridge\nlink set docker0 up\n\
         addr add {}/16 dev docker0\naddr add {}/64 dev docker0 nodad\n\
         link add vethinner type veth peer name eth0 netns {name}\n\
         link set vethinner master docker0 up\n",
        gateway.v4, gateway.v6
    ))?;
    inner.netns().links(&format!(
        "link set eth0 up\naddr add {}/16 dev eth0\naddr add {}/64 dev eth0 nodad\n\
         route add default via {}\nroute add default via {}\n",
        own.v4, own.v6, gateway.v4, gateway.v6
    ))
}

/// The address of `pair` in one IP version.
#[must_use]
pub fn address(pair: Pair, is_v6: bool) -> IpAddr {
    if is_v6 { pair.v6.into() } else { pair.v4.into() }
}
