//! The host side of a pod's network is found through its namespace, whatever it is called and whatever the
//! job has made beside it; what the second layer cannot guard is told.

use std::os::fd::AsRawFd as _;

use anyhow::{Result, bail, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket,
};
use weir::netns::Netns;
use weir::netns::follow::FollowedLinks;
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
    let names: Vec<_> = side.uplinks.iter().map(|one| one.name.as_str()).collect();
    ensure!(names == ["docker7", "net1"], "{names:?}");
    for (uplink, host_name) in side.require_veth()?.iter().zip(["veth2", "second"]) {
        let host = uplink.host;
        let name = lab.node.run(async move { nix::net::if_::if_indextoname(host) })??;
        ensure!(name.to_str()? == host_name);
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

/// Where a step of CNI's is made.
#[derive(Clone, Copy, Debug)]
enum End {
    Node,
    Pod,
}

#[test]
fn links_are_followed_however_a_plugin_makes_them() -> Result<()> {
    let (node, pod) = PodLab::apart()?;
    let names = [node.netns().name().to_owned(), pod.netns().name().to_owned()];
    let mut links = on_node(&node, &pod, |netns| Ok(FollowedLinks::of(netns)?))?;
    // A step, and whether it changes the links.
    let steps = [
        (End::Node, "link add unrelated type bridge", false),
        // As the bridge plugin does.
        (End::Pod, "link add eth0 type veth peer name veth0 netns NODE", true),
        (End::Pod, "link set eth0 up\naddr add 192.0.2.7/24 dev eth0", false),
        // Made at the host, in place or moved.
        (End::Node, "link add veth1 type veth peer name net1 netns POD", true),
        (End::Node, "link add veth2 type veth peer name net2\nlink set net2 netns POD", true),
        // The end that stays does not tell that the other was moved.
        (End::Pod, "link add net3 type veth peer name veth3", true),
        (End::Pod, "link set veth3 netns NODE", true),
        (End::Pod, "link add d8 type bridge\nlink del d8", false),
        (End::Pod, "link add d9 type bridge\nlink set net1 master d9", true),
        (End::Pod, "link set net1 nomaster", true),
        (
            End::Node,
            "link add low type bridge\nlink add link low name mac netns POD type macvlan",
            true,
        ),
        (End::Node, "link del veth1", true),
    ];
    for (end, step, changes) in steps {
        let step = step.replace("NODE", &names[0]).replace("POD", &names[1]);
        let at = match end {
            End::Node => &node,
            End::Pod => &pod,
        };
        at.netns().links(&format!("{step}\n"))?;
        let (followed, read, changed);
        (links, followed, read, changed) = on_node(&node, &pod, move |netns| {
            let changed = links.catch_up()?;
            let followed = links.host_side()?;
            Ok((links, followed, uplink::host_side(netns)?, changed))
        })?;
        ensure!(changed == changes, "{step}: {changed}");
        ensure!(followed.uplinks == read.uplinks, "{step}: {followed:?}");
        ensure!(followed.uncovered == read.uncovered, "{step}: {followed:?}");
        ensure!(followed.entrances() == read.entrances(), "{step}: {followed:?}");
    }
    let side = on_node(&node, &pod, move |_| Ok(links.host_side()?))?;
    ensure!(side.uplinks.len() == 3 && side.uncovered.len() == 1, "{side:?}");
    Ok(())
}

#[test]
fn news_that_a_pod_makes_up_are_not_believed() -> Result<()> {
    let (node, pod) = PodLab::plain(Plugin::Ptp)?;
    let mut links = on_node(&node, &pod, |netns| Ok(FollowedLinks::of(netns)?))?;
    let made_up = news_of_a_link(0x7777);
    pod.run(async move { tell_all(&made_up) })??;
    let (changed, side) =
        on_node(&node, &pod, move |_| Ok((links.catch_up()?, links.host_side()?)))?;
    ensure!(!changed, "{side:?}");
    side.require_veth()?;
    Ok(())
}

/// That a link of this index has come.
fn news_of_a_link(index: u32) -> Vec<u8> {
    // `struct nlmsghdr`, then `struct ifinfomsg`.
    let mut message = 32_u32.to_ne_bytes().to_vec();
    message.extend(nix::libc::RTM_NEWLINK.to_ne_bytes());
    message.resize(20, 0);
    message.extend(index.to_ne_bytes());
    message.resize(32, 0);
    message
}

/// Sends to whoever listens for links, as `CAP_NET_ADMIN` in the namespace allows.
fn tell_all(message: &[u8]) -> Result<()> {
    const LINKS: u32 = 1;
    let kind = (SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute);
    let socket = socket(AddressFamily::Netlink, kind.0, kind.1, kind.2)?;
    let to = NetlinkAddr::new(0, LINKS);
    sendto(socket.as_raw_fd(), message, &to, MsgFlags::empty())?;
    Ok(())
}
