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
use weir_tests::weir::Event;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);
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
    placement: Placement,
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
    fn new(placement: Placement, weir: Weir, profile: Profile) -> Result<Option<Self>> {
        let profile = match placement {
            Placement::InPod => profile,
            // Where security modules are asked, nobody leaves its cgroup without leave.
            Placement::AtRoot => profile.spec("  dockerInDocker: true"),
        };
        let lab = Lab::new()?;
        let Some(docker) = Docker::find(lab.folder())? else { return Ok(None) };
        for port in Layer::ALL.map(Layer::port).into_iter().chain([853]) {
            lab.attacker.listen(port)?;
        }
        lab.metadata.listen(80)?;
        let inner = Image::busybox("inner")
            .program(Program::StaticClient.path()?, "/bin/client")
            .program(Program::Probe.path()?, "/bin/probe")
            .program("/usr/bin/curl", "/bin/curl");
        let barrier = Image::busybox("weir-initc")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
        let node = Node::start(&lab, &Options::images(&[&inner, &barrier]))?;
        docker.keep(&inner)?;
        let agent = match weir {
            Weir::On => Some(AgentSpec::default().namespace("ci", &profile.text()).start(&node)?),
            Weir::Off => None,
        };
        let pod = node.run_pod(PodSpec { privileged: true, ..PodSpec::new("runner") })?;
        if weir == Weir::On {
            let barrier = ContainerSpec::barrier(&barrier, &pod.spec().uid, LIMIT);
            let barrier = pod.start(barrier)?;
            ensure!(barrier.wait(LIMIT)? == 0, "the barrier: {}", barrier.logs()?);
        }
        let daemon = docker.start(&pod, &inner, placement)?;
        daemon.load(&inner)?;
        daemon.run(&["docker", "network", "create", NETWORK])?.expect_code(0)?;
        let job = ContainerSpec::new("build", &inner).command(&["/bin/sleep", "86400"]);
        let job = pod.start(docker.client(job))?;
        Ok(Some(Self { placement, daemon, job, inner, pod, agent, _node: node, lab }))
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

    /// Where the attacker waits for what this layer sends.
    const fn port(self) -> u16 {
        match self {
            Self::Job => 8443,
            Self::Daemon => 8444,
            Self::Bridge => 8445,
            Self::Made => 8446,
        }
    }
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
fn unlawful(layer: Layer) -> String {
    let port = layer.port();
    let (attacker, foreign) = (addresses::ATTACKER.v4, addresses::FOREIGN.v4);
    let (metadata, web) = (addresses::METADATA.v4, addresses::WEB[0].v4);
    format!(
        "ns=$(sed -n 's/^nameserver //p' /etc/resolv.conf | head -n 1)
         say() {{ name=$1; shift; echo \"$name $(\"$@\" 2>&1 | tr '\\n' ' ')\"; }}
         say refused-udp client udp $ns 53 collector.example.net {port} &
         say refused-tcp client tcp $ns 53 collector.example.net {port} &
         say refused-get curl -4 -sS -m 2 http://collector.example.net:{port}/ &
         say foreign-udp client udp {foreign} 53 collector.example.net {port} &
         say foreign-tcp client tcp {foreign} 53 collector.example.net {port} &
         say attacker-tcp probe tcp {attacker} {port} &
         say attacker-udp probe udp-sendto {attacker} {port} &
         say attacker-write probe udp-write {attacker} {port} &
         say attacker-echo ping -q -c 1 -W 2 {attacker} &
         say attacker-raw probe raw-udp {attacker} {port} &
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
    let said = world.run(layer, &unlawful(layer))?;
    let found = read(&said);
    ensure!(found.len() == 13, "{layer}: {said}");
    for way in ["refused-udp", "refused-tcp", "foreign-udp", "foreign-tcp"] {
        let answer = found.get(way).copied().unwrap_or_default();
        ensure!(answer.contains("\"address\":\"\""), "{layer}, {way}: {said}");
    }
    witnesses.are_empty().with_context(|| format!("from {layer}: {said}"))
}

/// Docker's own use of its networks: by a container's name, and by a published port.
fn check_networks(world: &World) -> Result<()> {
    let serve = "mkdir /www && echo served > /www/index.html && exec httpd -f -p 8080 -h /www";
    let reference = world.inner.reference();
    let container = ["docker", "run", "--detach", "--name", "web", "--network", NETWORK];
    let rest = ["--publish", "8081:8080", reference, "/bin/sh", "-c", serve];
    world.daemon.run(&[&container[..], &rest[..]].concat())?.expect_code(0)?;
    let fetch = |url: &str| format!("curl -4 -sS --retry 20 --retry-connrefused -m 10 {url}");
    let by_name = world.run(Layer::Made, &fetch("http://web:8080/"))?;
    let published = world.run(Layer::Job, &fetch("http://127.0.0.1:8081/"))?;
    ensure!(by_name == "served\n" && published == "served\n", "{by_name:?} and {published:?}");
    let pid = world.daemon.run(&["docker", "inspect", "--format", "{{.State.Pid}}", "web"])?;
    let pid = pid.expect_code(0)?.stdout;
    let read = world.daemon.run(&["cat", &format!("/proc/{}/cgroup", pid.trim())])?.stdout;
    let is_below = read.contains(&world.pod.cgroup());
    ensure!(is_below == (world.placement == Placement::InPod), "the container is in {read}");
    world.daemon.run(&["docker", "rm", "--force", "web"])?.expect_code(0).map(drop)
}

/// A `RUN` step reaches what is allowed and nothing else.
fn check_build(world: &World) -> Result<()> {
    let build = |url: &str| {
        let script = format!(
            "printf 'FROM {}\\nRUN curl -4 -sS -m 3 {url} > /got && cat /got\\n' | docker build --no-cache -",
            world.inner.reference()
        );
        world.job.exec(&["/bin/sh", "-c", &script])
    };
    let said = build("http://files.example.com/")?.expect_code(0)?.stdout;
    ensure!(said.contains("hello from files.example.com"), "{said}");
    for url in ["http://collector.example.net:8443/", "http://203.0.113.66:8443/"] {
        let refused = build(url)?;
        ensure!(refused.code != 0, "{}", refused.describe());
    }
    Ok(())
}

/// Each layer sends to a port of its own; the record of it names a process where a socket hook saw one.
fn check_records(world: &World) -> Result<()> {
    let Some(agent) = &world.agent else { return Ok(()) };
    let events = agent.events()?;
    let attacker = addresses::ATTACKER.v4.to_string();
    for layer in Layer::ALL {
        let of_layer = |event: &&Event| {
            event.kind() == "violation"
                && event.ip() == attacker
                && event.port() == u64::from(layer.port())
                && event.proto() == "tcp"
        };
        let event = events.iter().find(of_layer);
        let event = event.with_context(|| format!("no record for {layer}: {events:?}"))?;
        let is_in_pod = layer == Layer::Job || world.placement == Placement::InPod;
        let expected = match (agent.guards(&world.pod.spec().uid)?, is_in_pod) {
            (true, true) => ("lsm", "probe"),
            // Wherever it is now, it descends from the pod.
            (true, false) if layer == Layer::Daemon => ("lsm", "probe"),
            (false, true) => ("cgroup", "probe"),
            // What came over a bridge belongs to no socket any more.
            _ => ("none", ""),
        };
        ensure!((event.text("/attribution"), event.comm()) == expected, "{layer}: {event}");
    }
    for event in &events {
        let is_web = addresses::WEB.iter().any(|web| web.v4.to_string() == event.ip());
        let is_refused = event.kind() == "violation" && is_web && event.port() != 853;
        ensure!(!is_refused, "an allowed address was refused: {event}");
    }
    Ok(())
}

/// With every rule of the pod's network gone, ours and Docker's, nothing gets further than before.
fn check_flushed(world: &World, witnesses: &Witnesses) -> Result<()> {
    world.daemon.run(&["/usr/sbin/nft", "flush", "ruleset"])?.expect_code(0)?;
    for layer in Layer::ALL {
        let said = world.run(layer, &unlawful(layer))?;
        ensure!(read(&said).len() == 13, "{layer}: {said}");
        witnesses.are_empty().with_context(|| format!("from {layer}, flushed: {said}"))?;
    }
    // Questions of sockets that the hooks see are answered as before; no rule has a part in that.
    check_lawful(world, Layer::Job)?;
    if world.placement == Placement::InPod {
        check_lawful(world, Layer::Daemon)?;
    }
    Ok(())
}

fn layers(placement: Placement) -> Result<()> {
    let Some(world) = World::new(placement, Weir::On, allowed())? else {
        return skip::record("docker::layers", Skip::NoDocker);
    };
    let witnesses = Witnesses::new(&world.lab)?;
    for layer in Layer::ALL {
        check_lawful(&world, layer)?;
        check_unlawful(&world, layer, &witnesses)?;
    }
    check_networks(&world)?;
    check_build(&world)?;
    witnesses.are_empty().context("from a build")?;
    check_records(&world)?;
    check_flushed(&world, &witnesses)
}

#[test]
fn below_the_pods_cgroup_every_layer_is_held() -> Result<()> {
    layers(Placement::InPod)
}

#[test]
fn at_the_nodes_root_every_layer_is_held() -> Result<()> {
    layers(Placement::AtRoot)
}

/// The twin of the refusals: each of the acts does get through where nothing holds it.
#[test]
fn without_weir_every_layer_gets_out() -> Result<()> {
    let Some(world) = World::new(Placement::AtRoot, Weir::Off, allowed())? else {
        return skip::record("docker::without_weir", Skip::NoDocker);
    };
    for layer in Layer::ALL {
        let witnesses = Witnesses::new(&world.lab)?;
        let said = world.run(layer, &unlawful(layer))?;
        for (name, seen) in witnesses.take()? {
            ensure!(seen.tcp.packets > 0, "{name} saw {seen:?} of {layer}: {said}");
            let silent = name == "metadata" || seen.udp.packets > 0;
            ensure!(silent, "{name} saw {seen:?} of {layer}: {said}");
        }
        for (act, answer) in read(&said) {
            let got_through =
                ["\"connected\":true", "\"result\":\"ok\"", "taken", " 0% packet loss"];
            // The web server has nothing on port 853.
            let passed =
                act == "dot-allowed-host" || got_through.iter().any(|text| answer.contains(text));
            ensure!(passed, "{layer}, {act}: {said}");
        }
    }
    Ok(())
}

/// Connections outlive the answers that admitted them, and their ends are no violations.
fn downloads(placement: Placement) -> Result<()> {
    let profile = allowed().spec("  dns: { grace: 0s, maxTtl: 2s }");
    let Some(world) = World::new(placement, Weir::On, profile)? else {
        return skip::record("docker::downloads", Skip::NoDocker);
    };
    // Many whole transfers in segments of 64 KiB each way, some cut off by their client, and a download that is
    // longer than its answer lives. What the server still sends then is reset by the kernel, which has no socket
    // for it any more.
    let script = "
        for turn in 1 2 3 4 5 6 7 8; do
          curl -4 -sS -m 10 -o /tmp/whole http://files.example.com/bytes/3000000 || exit 1
          [ $(stat -c %s /tmp/whole) = 3000000 ] || exit 1
          curl -4 -sS -m 10 -o /dev/null --data-binary @/tmp/whole http://files.example.com/ || exit 1
          curl -4 -sS -m 0.2 -o /dev/null http://files.example.com/drip/16000 2> /dev/null
        done
        curl -4 -sS -m 4 -o /tmp/long http://files.example.com/drip/1000 2> /dev/null
        stat -c %s /tmp/long";
    for layer in Layer::ALL {
        let before = world.lab.web.uploaded();
        let said = world.run(layer, script)?;
        let uploaded = world.lab.web.uploaded() - before;
        ensure!(uploaded == 8 * 3_000_000, "{layer}: the server took {uploaded} bytes");
        let long: u64 = said.trim().parse().context(said.clone())?;
        ensure!(long > 30_000, "{layer}: the long download ended after {long} bytes");
    }
    let agent = world.agent.as_ref().context("no agent")?;
    for event in agent.events()? {
        ensure!(event.kind() != "violation", "{event}");
    }
    Ok(())
}

#[test]
fn below_the_pods_cgroup_downloads_go_on_and_end_well() -> Result<()> {
    downloads(Placement::InPod)
}

#[test]
fn at_the_nodes_root_downloads_go_on_and_end_well() -> Result<()> {
    downloads(Placement::AtRoot)
}
