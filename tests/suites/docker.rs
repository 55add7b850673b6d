//! Docker in a runner pod: a real daemon in a privileged sidecar, its containers on the default bridge and
//! on a user-made one, enforced by `weir agent` in block mode.
//!
//! Everything is tried twice: with the daemon and its containers below the pod's cgroup, where the socket
//! hooks see them, and at the root of the node's cgroups, where the stock entry point of Docker-in-Docker
//! goes and only the second layer is left.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::lab::{Lab, Tally, Watch, addresses};
use weir_tests::node::{
    Container, ContainerSpec, Daemon, Docker, Image, Node, Options, Placement, Pod, PodSpec,
};
use weir_tests::profile::Profile;
use weir_tests::programs::{self, Program};
use weir_tests::skip::{self, Skip};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);
/// Where the attacker waits.
const PORT: u16 = 8443;
/// The user-made network.
const NETWORK: &str = "made";

/// Whether weir holds the pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weir {
    On,
    Off,
}

/// A runner pod on a node: a job container, and a daemon with the image `inner` loaded.
struct World {
    daemon: Daemon,
    job: Container,
    inner: Image,
    pod: Pod,
    agent: Option<Agent>,
    _node: Node,
    lab: Lab,
}

impl World {
    /// None where Docker cannot be had.
    fn new(placement: Placement, weir: Weir, profile: &Profile) -> Result<Option<Self>> {
        let lab = Lab::new()?;
        let Some(docker) = Docker::find(lab.folder())? else { return Ok(None) };
        for port in [PORT, 853] {
            lab.attacker.listen(port)?;
        }
        lab.metadata.listen(80)?;
        let node = Node::start(&lab, &Options::default())?;
        let inner = Image::busybox("inner")
            .program(Program::StaticClient.path()?, "/bin/client")
            .program(Program::Probe.path()?, "/bin/probe")
            .program("/usr/bin/curl", "/bin/curl");
        let barrier = Image::busybox("weir-initc")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
        node.import(&inner)?;
        node.import(&barrier)?;
        docker.keep(&inner)?;
        let agent = match weir {
            Weir::On => {
                Some(AgentSpec::default().namespace("ci", &profile.text()).start(&node)?)
            }
            Weir::Off => None,
        };
        let pod = node.run_pod(PodSpec { privileged: true, ..PodSpec::new("runner") })?;
        if weir == Weir::On {
            let barrier = ContainerSpec::new("weir-initc", &barrier)
                .command(&["/bin/weir-initc"])
                .env("WEIR_POD_UID", &pod.spec().uid);
            let barrier = pod.start(barrier)?;
            ensure!(barrier.wait(LIMIT)? == 0, "the barrier: {}", barrier.logs()?);
        }
        let daemon = docker.start(&pod, &inner, placement)?;
        daemon.load(&inner)?;
        daemon.run(&["docker", "network", "create", NETWORK])?.expect_code(0)?;
        let job = ContainerSpec::new("build", &inner).command(&["/bin/sleep", "86400"]);
        let job = pod.start(docker.client(job))?;
        Ok(Some(Self { daemon, job, inner, pod, agent, _node: node, lab }))
    }

    /// Runs `script` in `layer` to its end.
    fn run(&self, layer: Layer, script: &str) -> Result<String> {
        let shell = ["/bin/sh", "-c", script];
        let output = match layer {
            Layer::Job => self.job.exec(&shell)?,
            Layer::Daemon => self.daemon.run(&shell)?,
            Layer::Bridge => self.container("bridge", &shell)?,
            Layer::Made => self.container(NETWORK, &shell)?,
        };
        Ok(output.expect_code(0).with_context(|| format!("in {layer}"))?.stdout)
    }

    fn container(&self, network: &str, argv: &[&str]) -> Result<weir_tests::exec::Output> {
        let mut words = vec!["docker", "run", "--rm", "--network", network];
        words.push(self.inner.reference());
        words.extend(argv);
        self.daemon.run(&words)
    }
}

/// Where in a runner pod a program can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Job,
    /// Beside the daemon.
    Daemon,
    /// A container on the default bridge.
    Bridge,
    /// A container on a user-made bridge, which asks Docker's own name server.
    Made,
}

impl Layer {
    const ALL: [Self; 4] = [Self::Job, Self::Daemon, Self::Bridge, Self::Made];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What goes by the policy, one line of `NAME WHAT-WAS-SAID` each.
fn lawful() -> String {
    "ns=$(sed -n 's/^nameserver //p' /etc/resolv.conf | head -n 1)
     say() { name=$1; shift; echo \"$name $(\"$@\" 2>&1 | tr '\\n' ' ')\"; }
     say get curl -4 -sS -m 10 http://files.example.com/
     say udp client udp $ns 53 files.example.com 80
     say tcp client tcp $ns 53 files.example.com 80"
        .to_owned()
}

/// What does not, all at once: where only the wire refuses, each waits for its time limit.
fn unlawful() -> String {
    let (attacker, foreign) = (addresses::ATTACKER.v4, addresses::FOREIGN.v4);
    let (metadata, web) = (addresses::METADATA.v4, addresses::WEB[0].v4);
    format!(
        "ns=$(sed -n 's/^nameserver //p' /etc/resolv.conf | head -n 1)
         say() {{ name=$1; shift; echo \"$name $(\"$@\" 2>&1 | tr '\\n' ' ')\"; }}
         say refused-udp client udp $ns 53 collector.example.net {PORT} &
         say refused-tcp client tcp $ns 53 collector.example.net {PORT} &
         say refused-get curl -4 -sS -m 2 http://collector.example.net:{PORT}/ &
         say foreign-udp client udp {foreign} 53 collector.example.net {PORT} &
         say foreign-tcp client tcp {foreign} 53 collector.example.net {PORT} &
         say attacker-tcp probe tcp {attacker} {PORT} &
         say attacker-udp probe udp-sendto {attacker} {PORT} &
         say attacker-write probe udp-write {attacker} {PORT} &
         say attacker-echo probe icmp-datagram {attacker} 0 &
         say attacker-raw probe raw-udp {attacker} {PORT} &
         say metadata curl -sS -m 2 http://{metadata}/latest/ &
         say dot probe tcp {attacker} 853 &
         say dot-allowed-host probe tcp {web} 853 &
         wait"
    )
}

fn read(said: &str) -> BTreeMap<&str, &str> {
    said.lines().filter_map(|line| line.split_once(' ')).collect()
}

/// The hosts to which nothing may get.
struct Witnesses {
    watches: Vec<(&'static str, Watch)>,
}

impl Witnesses {
    fn new(lab: &Lab) -> Result<Self> {
        let hosts = [
            ("attacker", lab.attacker.host()),
            ("metadata", lab.metadata.host()),
            ("foreign", lab.foreign.host()),
        ];
        let watches =
            hosts.map(|(name, host)| lab.watch(host).map(|watch| (name, watch))).into_iter();
        Ok(Self { watches: watches.collect::<Result<_>>()? })
    }

    fn take(&self) -> Result<BTreeMap<&'static str, Tally>> {
        self.watches.iter().map(|(name, watch)| Ok((*name, watch.take()?))).collect()
    }

    /// Nothing has come to any of them.
    fn are_empty(&self) -> Result<()> {
        for (name, seen) in self.take()? {
            ensure!(seen.is_empty(), "{name} saw {seen:?}");
        }
        Ok(())
    }
}

fn allowed() -> Profile {
    Profile::deny_all().domains_at(&["files.example.com"], &["80"])
}

fn check_lawful(world: &World, layer: Layer) -> Result<()> {
    let said = world.run(layer, &lawful())?;
    let found = read(&said);
    let get = found.get("get").copied().unwrap_or_default();
    ensure!(get.contains("hello from files.example.com"), "{layer}: {said}");
    for way in ["udp", "tcp"] {
        let answer = found.get(way).copied().unwrap_or_default();
        ensure!(answer.contains("\"connected\":true"), "{layer}, DNS over {way}: {said}");
    }
    Ok(())
}

fn check_unlawful(world: &World, layer: Layer, witnesses: &Witnesses) -> Result<()> {
    let said = world.run(layer, &unlawful())?;
    let found = read(&said);
    ensure!(found.len() == 13, "{layer}: {said}");
    for way in ["refused-udp", "refused-tcp", "foreign-udp", "foreign-tcp"] {
        let answer = found.get(way).copied().unwrap_or_default();
        ensure!(answer.contains("\"address\":\"\""), "{layer}, {way}: {said}");
    }
    witnesses.are_empty().with_context(|| format!("from {layer}: {said}"))
}

fn layers(placement: Placement) -> Result<()> {
    let Some(world) = World::new(placement, Weir::On, &allowed())? else {
        return skip::record("docker::layers", Skip::NoDocker);
    };
    let witnesses = Witnesses::new(&world.lab)?;
    for layer in Layer::ALL {
        check_lawful(&world, layer)?;
        check_unlawful(&world, layer, &witnesses)?;
    }
    Ok(())
}

#[test]
fn below_the_pods_cgroup_every_layer_is_held() -> Result<()> {
    layers(Placement::InPod)
}

#[test]
fn at_the_nodes_root_every_layer_is_held() -> Result<()> {
    layers(Placement::AtRoot)
}
