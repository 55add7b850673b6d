//! The host side of a pod's network is found through its namespace, whatever it is called and whatever the
//! job has made beside it; what the second layer cannot guard is told.

use anyhow::{Result, bail, ensure};
use weir::netns::Netns;
use weir::netns::uplink::{self, UplinkError};
use weir_tests::lab::Host;
use weir_tests::lab::pod::{Plugin, PodLab};

/// The agent's view of a lab, its host's end being the lab's node.
fn on_node<T: Send + 'static>(
    node: &Host,
    pod: &Host,
    work: impl FnOnce(&Netns) -> Result<T> + Send + 'static,
) -> Result<T> {
    let path = pod.netns().path();
    node.run(async move { work(&Netns::open(&path)?) })?
}

#[test]
fn the_uplink_is_found_by_what_it_is() -> Result<()> {
    let lab = PodLab::new(Plugin::Bridge, "docker7")?;
    let name = lab.inner.netns().name();
    lab.pod.netns().links(&format!(
        "link add eth0 type veth peer name eth1\nlink add eth2 type veth peer name eth9 netns {name}\n\
         link add eth3 type bridge\naddr add 10.7.0.1/24 dev eth3\naddr add 203.0.113.9/8 dev eth3\n\
         addr add 10.8.0.1 peer 10.9.0.1/32 dev eth1\n\
         link add eth4 type bridge\nlink add eth5 type vxlan id 7 dstport 4789 dev docker7\n\
         link set docker7 alias eth0\n"
    ))?;
    // Made in the node, so it leads there: the second of several uplinks.
    lab.node.netns().links(&format!(
        "link add second type veth peer name net1 netns {}\n",
        lab.pod.netns().name()
    ))?;
    let side = on_node(&lab.node, &lab.pod, |netns| Ok(uplink::host_side(netns)?))?;
    let names: Vec<_> =
        side.uplinks.iter().map(|one| (one.name.as_str(), one.host_name.as_str())).collect();
    ensure!(names == [("docker7", "veth2"), ("net1", "second")], "{names:?}");
    for uplink in side.require_veth()? {
        let host = uplink.host;
        let name = lab.node.run(async move { nix::net::if_::if_indextoname(host) })??;
        ensure!(name.to_str()? == uplink.host_name);
        let inside = uplink.inside;
        let name = lab.pod.run(async move { nix::net::if_::if_indextoname(inside) })??;
        ensure!(name.to_str()? == uplink.name);
    }
    let networks: Vec<String> = side.own_networks().iter().map(ToString::to_string).collect();
    for wanted in [
        "10.7.0.0/24",
        "10.7.0.1/32",
        "10.8.0.1/32",
        "10.9.0.1/32",
        "172.17.0.0/16",
        "198.51.100.2/32",
        "203.0.113.9/32",
        "2001:db8:10::2/128",
        "fd00:17::/64",
        "127.0.0.0/8",
    ] {
        ensure!(networks.iter().any(|network| network == wanted), "no {wanted}: {networks:?}");
    }
    ensure!(!networks.iter().any(|network| network == "198.51.100.0/24"), "{networks:?}");
    // What a job calls its own without owning it.
    ensure!(!networks.iter().any(|network| network == "203.0.0.0/8"), "{networks:?}");
    Ok(())
}

#[test]
fn what_is_not_a_veth_to_this_host_is_an_error() -> Result<()> {
    let (node, pod) = PodLab::plain(Plugin::Ptp)?;
    let view = |from: &Host| on_node(from, &pod, |netns| Ok(uplink::host_side(netns)?));
    // Seen from elsewhere, the veth leads to somebody else.
    let elsewhere = view(&PodLab::plain(Plugin::Ptp)?.0)?;
    ensure!(matches!(elsewhere.require_veth(), Err(UplinkError::NoUplink)), "{elsewhere:?}");
    let name = pod.netns().name();
    for kind in ["macvlan", "macvtap"] {
        node.netns().links(&format!(
            "link add lower type bridge\nlink set lower up\n\
             link add link lower name net7 netns {name} type {kind}\n"
        ))?;
        let side = view(&node)?;
        let Err(UplinkError::NotVeth { name, kind: found }) = side.require_veth() else {
            bail!("{side:?}");
        };
        ensure!((name.as_str(), found.as_str()) == ("net7", kind));
        ensure!(side.uplinks.len() == 1);
        node.netns().links("link delete lower\n")?;
    }
    view(&node)?.require_veth()?;
    let shared = on_node(&pod, &pod, |netns| Ok(uplink::host_side(netns)))?;
    ensure!(matches!(shared, Err(UplinkError::HostNetwork(_))), "{shared:?}");
    Ok(())
}
