//! A real kubelet with a real API server: it makes the sandbox, runs the barrier, and starts a job only once its
//! pod is enforced, whatever happens to the pod later.
//!
//! Then the same with the agent that the chart installs (`kubelet/installed.rs`).
//!
//! The case runs twice: on this machine, where it starts the control plane and a virtual machine, and in that
//! machine, where the node is and the acts are.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use weir_tests::agent::Agent;
use weir_tests::deploy::Tools;
use weir_tests::exec::{self, Running};
use weir_tests::kubernetes::{
    Api, ControlPlane, Kind, Kubelet, NAMESPACE, NODE, PodState, PodWatch, Programs,
};
use weir_tests::lab::{Lab, Tally, Watch, addresses};
use weir_tests::node::{Image, Node, Options};
use weir_tests::programs::{self, Program};
use weir_tests::skip::{self, Skip};
use weir_tests::vm::{self, Kernel, Series, act};
use weir_tests::world::{FORBIDDEN_PORT, files_allowed};

#[path = "kubelet/installed.rs"]
mod installed;

const CASE: &str = "a_real_kubelet_starts_a_job_only_behind_the_barrier";
/// For all that happens in the virtual machine.
const GUEST_LIMIT: Duration = Duration::from_secs(1500);
/// For one step of a pod, under emulation.
const LIMIT: Duration = Duration::from_secs(120);
const BARRIER: &str = "weir-initc";
const JOB: &str = "build";

/// First of all, and by the runner ahead of its time: fetches and builds, for minutes the first time.
#[test]
fn what_it_runs_can_be_had() -> Result<()> {
    if Programs::find()?.is_none() {
        return skip::record(CASE, Skip::NoKubernetes);
    }
    if Kernel::find(Series::V6_12)?.is_none() {
        return skip::record(CASE, Skip::NoKernel);
    }
    Ok(())
}

#[test]
fn a_real_kubelet_starts_a_job_only_behind_the_barrier() -> Result<()> {
    if let Some(folder) = vm::guest_folder() {
        return guest(&folder);
    }
    let Some(programs) = Programs::find()? else {
        return skip::record(CASE, Skip::NoKubernetes);
    };
    let Some(kernel) = Kernel::find(Series::V6_12)? else {
        return skip::record(CASE, Skip::NoKernel);
    };
    let plane = ControlPlane::start(&programs)?;
    // Written here, where it is fast.
    let images = Images::new()?;
    for (image, name) in [(&images.job, JOB), (&images.barrier, BARRIER)] {
        image.write(&plane.folder().join(name))?;
    }
    let tools = Tools::find()?;
    match &tools {
        Some(tools) => installed::install(&plane, tools)?,
        None => skip::record("the chart on a real kubelet", Skip::NoHelm)?,
    }
    let arguments = ["--exact", CASE, "--nocapture", "--test-threads", "1"];
    let output =
        vm::run_this_program(&kernel, plane.netns(), plane.folder(), &arguments, GUEST_LIMIT)?;
    let told = || format!("{}\n--- kube-apiserver\n{}", output.describe(), plane.log());
    ensure!(output.code == 0, "in the guest: {}", told());
    eprintln!("{}", output.stdout);
    tools.map_or(Ok(()), |tools| installed::uninstall(&plane, &tools))
}

/// What the pods are made of.
struct Images {
    job: Image,
    barrier: Image,
}

impl Images {
    fn new() -> Result<Self> {
        let job = Image::busybox("job")
            .program(Program::Flood.path()?, "/bin/flood")
            .program("/usr/bin/curl", "/bin/curl");
        let barrier = Image::busybox("weir-initc")
            .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
        Ok(Self { job, barrier })
    }
}

/// Everything that the acts share.
struct Stage<'a> {
    node: &'a Node,
    images: Images,
    api: Api<'a>,
    /// What arrives at the attacker.
    watch: Watch,
}

fn guest(folder: &Path) -> Result<()> {
    let programs = Programs::find()?.context("the host has built Kubernetes")?;
    let lab = act("the lab stands", Lab::new)?;
    lab.attacker.listen(FORBIDDEN_PORT)?;
    vm::link(lab.client.host())?;
    let options = Options::default();
    let node = act("the node starts", || Node::start_with_limits(&lab, &options))?;
    let images = Images::new()?;
    act("the images are imported", || {
        for (image, name) in [(&images.job, JOB), (&images.barrier, BARRIER)] {
            node.import_written(image, &folder.join(name).join("image.tar"))?;
        }
        Ok(())
    })?;
    let _kubelet = act("the kubelet registers it", || Kubelet::start(&node, &programs, folder))?;
    let api = Api::new(&node, folder);
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    api.create("/api/v1/namespaces", &namespace)?;
    // No pod is made before its account is there.
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    api.watch(&accounts, "default")?.until(LIMIT, |_| true)?;
    let watch = lab.watch(lab.attacker.host())?;
    let stage = Stage { node: &node, images, api, watch };
    let played = stage
        .play()
        .and_then(|()| if installed::is_there(folder) { stage.installed(folder) } else { Ok(()) });
    played.with_context(|| format!("the kubelet's last lines:\n{}", Kubelet::log(&node)))
}

/// What `weir pods` tells of one sandbox.
#[derive(Debug)]
struct Told {
    sandbox: String,
    state: String,
    profile: String,
}

impl Stage<'_> {
    fn play(&self) -> Result<()> {
        act("without weir a job's first packets arrive", || self.control())?;
        act("without an agent the barrier ends the pod", || self.held())?;
        let agent = act("an agent that comes later lets the barrier pass", || self.late())?;
        let job = act("a job is refused from its first instruction on", || self.ordinary())?;
        act("a job's container that is restarted is enforced", || self.restarted(&job))?;
        act("an ephemeral container is enforced", || self.ephemeral(&job))?;
        let sandbox = act("a sandbox made anew is enforced anew", || self.sandbox_anew(&job))?;
        act("a pod on the node's network is enforced", || self.host_network())?;
        act("a deleted pod leaves nothing", || self.deleted(&job, &sandbox, &agent))?;
        agent.stop().map(drop)
    }

    /// The twin of all others: nobody enforces, and the attacker receives.
    fn control(&self) -> Result<()> {
        let pod = self.api.create_pod(&self.pod("control", "Never", None, &flood_alone()))?;
        let ended = pod.until(LIMIT, |pod| pod.is_in("Succeeded"))?;
        let (tries, refused) = flood_of(&self.log(&ended, Kind::Ordinary, JOB)?)?;
        ensure!(tries > 0 && refused == 0, "{refused} of {tries} were refused");
        let seen = self.watch.take()?;
        ensure!(seen.tcp.packets > 0 && seen.udp.packets > 0, "the attacker saw {seen:?}");
        Ok(())
    }

    fn held(&self) -> Result<()> {
        let pod = self.api.create_pod(&self.pod("held", "Never", Some("3s"), &flood_alone()))?;
        let ended = pod.until(LIMIT, |pod| pod.is_in("Failed"))?;
        let barrier = ended.container(Kind::Init, BARRIER)?;
        ensure!(barrier.exit_code()? == 1, "the barrier: {barrier}");
        let job = ended.container(Kind::Ordinary, JOB)?;
        ensure!(job.is("waiting") && job.never_was() && job.attempt()? == 0, "the job: {job}");
        let logs = self.node.path(ended.logs()?);
        ensure!(logs.join(BARRIER).exists() && !logs.join(JOB).exists(), "the job has a log");
        self.silent()
    }

    fn late(&self) -> Result<Agent> {
        let pod = self.api.create_pod(&self.pod("late", "Never", Some("150s"), &flood_alone()))?;
        let begun = pod.until(LIMIT, |pod| pod.runs(Kind::Init, BARRIER))?;
        ensure!(begun.container(Kind::Ordinary, JOB)?.never_was(), "the job: {begun}");
        files_allowed().write(self.node)?;
        let agent = Agent::spawn(self.node)?;
        let ready = agent.process().wait_for_line(LIMIT, |line| line.contains("reconciled"));
        ready.context("the agent does not get ready")?;
        let ended = pod.until(LIMIT, |pod| pod.is_in("Succeeded"))?;
        in_order(&ended)?;
        all_refused(&self.log(&ended, Kind::Ordinary, JOB)?)?;
        self.silent()?;
        Ok(agent)
    }

    /// The pod of this act stays for others.
    fn ordinary(&self) -> Result<PodWatch> {
        let job = shell(&format!("{ATTEMPT}; exec sleep 3600"));
        let pod = self.api.create_pod(&self.pod("job", "Always", Some("100s"), &job))?;
        let running = pod.until(LIMIT, |pod| pod.runs(Kind::Ordinary, JOB))?;
        self.enforced(&running)?;
        in_order(&running)?;
        let told = self.told_of(&pod, "")?;
        ensure!(told.state == "enforcing" && told.profile == "lab/ci", "{told:?}");
        let cgroup = format!("/kubepods/besteffort/pod{}", pod.uid);
        for container in [running.container(Kind::Ordinary, JOB)?.id()?, told.sandbox] {
            let pid = self.process(&pod, &container)?;
            let place = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
            ensure!(place.trim().ends_with(&format!("{cgroup}/{container}")), "{place}");
        }
        Ok(pod)
    }

    fn restarted(&self, pod: &PodWatch) -> Result<()> {
        let before = self.api.pod(pod)?;
        let job = before.container(Kind::Ordinary, JOB)?.id()?;
        self.kill(pod, &job)?;
        let after = pod.until(LIMIT, |pod| {
            pod.is_another(Kind::Ordinary, JOB, &job) && pod.runs(Kind::Ordinary, JOB)
        })?;
        let barrier = before.container(Kind::Init, BARRIER)?.id()?;
        ensure!(!after.is_another(Kind::Init, BARRIER, &barrier), "it ran again: {after}");
        self.enforced(&after)
    }

    /// As `kubectl debug` adds one.
    fn ephemeral(&self, pod: &PodWatch) -> Result<()> {
        let path = format!("{}/ephemeralcontainers", pod.path());
        let mut containers = self.api.get(&path)?;
        let list = containers.get_mut("ephemeralContainers").context("no list of them")?;
        *list = json!([{
            "name": "debugger",
            "image": self.images.job.reference(),
            "imagePullPolicy": "Never",
            "command": shell(ATTEMPT),
            "terminationMessagePolicy": "File",
        }]);
        self.api.replace(&path, &containers)?;
        let ended = pod.until(LIMIT, |pod| pod.has_ended(Kind::Ephemeral, "debugger"))?;
        self.was_enforced(&ended, Kind::Ephemeral, "debugger")
    }

    /// The sandbox's id then.
    fn sandbox_anew(&self, pod: &PodWatch) -> Result<String> {
        let before = self.api.pod(pod)?;
        let barrier = before.container(Kind::Init, BARRIER)?.id()?;
        let job = before.container(Kind::Ordinary, JOB)?.id()?;
        let sandbox = self.told_of(pod, "")?.sandbox;
        self.kill(pod, &sandbox)?;
        let after = pod.until(LIMIT, |pod| {
            pod.is_another(Kind::Init, BARRIER, &barrier)
                && pod.is_another(Kind::Ordinary, JOB, &job)
                && pod.runs(Kind::Ordinary, JOB)
        })?;
        ensure!(after.uid()? == pod.uid, "another pod: {after}");
        self.enforced(&after)?;
        in_order(&after)?;
        let told = self.told_of(pod, &sandbox)?;
        ensure!(told.state == "enforcing", "{told:?}");
        // The same cgroup of the pod holds it.
        self.process(pod, &told.sandbox)?;
        Ok(told.sandbox)
    }

    fn host_network(&self) -> Result<()> {
        let mut pod = self.pod("outside", "Never", Some("100s"), &shell(ATTEMPT));
        *pod.pointer_mut("/spec/hostNetwork").context("a pod without a network")? = json!(true);
        let pod = self.api.create_pod(&pod)?;
        let ended = pod.until(LIMIT, |pod| pod.has_ended(Kind::Ordinary, JOB))?;
        self.was_enforced(&ended, Kind::Ordinary, JOB)
    }

    fn deleted(&self, pod: &PodWatch, sandbox: &str, agent: &Agent) -> Result<()> {
        self.api.delete_pod(pod, LIMIT)?;
        let gone = |line: &str| line.contains("phase=\"gone\"") && line.contains(sandbox);
        agent.process().wait_for_line(LIMIT, gone).context("the agent does not let go")?;
        self.silent()
    }

    /// A container that has ended has tried everything: the forbidden was refused, the allowed came.
    fn was_enforced(&self, pod: &PodState, kind: Kind, name: &str) -> Result<()> {
        let said = self.log(pod, kind, name)?;
        all_refused(&said)?;
        ensure!(said.contains(HELLO), "{said}");
        self.silent()
    }

    /// As [`Self::was_enforced`], for the job of a pod that runs on.
    fn enforced(&self, pod: &PodState) -> Result<()> {
        let log = self.node.path(pod.container(Kind::Ordinary, JOB)?.log()?);
        let mut tail = std::process::Command::new("tail");
        tail.args(["--lines=+1", "--follow=name", "--retry"]).arg(log);
        let tail: Running = exec::spawn(tail)?;
        let flood = tail.wait_for_line(LIMIT, |line| line.contains("\"tries\""));
        all_refused(&flood.context("the job tells nothing")?)?;
        let hello = tail.wait_for_line(LIMIT, |line| line.contains(HELLO));
        hello.context("the job does not reach what is allowed")?;
        self.silent()
    }

    /// Nothing has arrived at the attacker since this was last asked.
    fn silent(&self) -> Result<()> {
        let seen: Tally = self.watch.take()?;
        ensure!(seen.is_empty(), "the attacker saw {seen:?}");
        Ok(())
    }

    /// What `weir pods` tells of a pod: of its sandbox that is not `old`.
    fn told_of(&self, pod: &PodWatch, old: &str) -> Result<Told> {
        let pods = Agent::pods(self.node)?;
        let text = |one: &Value, key| one.get(key).and_then(Value::as_str).map(str::to_owned);
        let told = pods.as_array().into_iter().flatten().filter_map(|one| {
            let told = Told {
                sandbox: text(one, "sandbox")?,
                state: text(one, "state")?,
                profile: text(one, "profile")?,
            };
            (text(one, "uid")? == pod.uid && told.sandbox != old).then_some(told)
        });
        told.last().with_context(|| format!("no pod {} in {pods}", pod.uid))
    }

    /// The process of a container, found in the pod's cgroup.
    fn process(&self, pod: &PodWatch, container: &str) -> Result<i32> {
        let place = format!("kubepods/besteffort/pod{}/{container}/cgroup.procs", pod.uid);
        let file = self.node.cgroup_root().join(place);
        let pids =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        pids.lines().next().context("a container without a process")?.parse().context("a pid")
    }

    fn kill(&self, pod: &PodWatch, container: &str) -> Result<()> {
        let pid = self.process(pod, container)?;
        kill(Pid::from_raw(pid), Signal::SIGKILL).with_context(|| format!("killing {container}"))
    }

    /// What a container that has ended wrote.
    fn log(&self, pod: &PodState, kind: Kind, name: &str) -> Result<String> {
        let path = self.node.path(pod.container(kind, name)?.log()?);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// A pod for this node; `deadline` is its barrier's, none for a pod without one.
    fn pod(&self, name: &str, restart: &str, deadline: Option<&str>, job: &[String]) -> Value {
        let uid = json!({"fieldRef": {"fieldPath": "metadata.uid"}});
        let barriers: Vec<Value> = deadline
            .map(|deadline| {
                json!({
                    "name": BARRIER,
                    "image": self.images.barrier.reference(),
                    "imagePullPolicy": "Never",
                    "command": ["/bin/weir-initc"],
                    "env": [
                        {"name": "WEIR_POD_UID", "valueFrom": uid},
                        {"name": "WEIR_DEADLINE", "value": deadline},
                    ],
                })
            })
            .into_iter()
            .collect();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "nodeName": NODE,
                "automountServiceAccountToken": false,
                "hostNetwork": false,
                "restartPolicy": restart,
                "terminationGracePeriodSeconds": 1,
                "enableServiceLinks": false,
                "initContainers": barriers,
                "containers": [{
                    "name": JOB,
                    "image": self.images.job.reference(),
                    "imagePullPolicy": "Never",
                    "command": job,
                }],
            },
        })
    }
}

/// The forbidden from the first instruction on, then the allowed.
const ATTEMPT: &str = "/bin/flood $0 $1 2; curl -sS -m 60 http://files.example.com/";
/// How the allowed answers.
const HELLO: &str = "hello from";

fn flood_alone() -> Vec<String> {
    let (v4, v6) = attacker();
    vec!["/bin/flood".to_owned(), v4, v6, "2".to_owned()]
}

fn shell(script: &str) -> Vec<String> {
    let (v4, v6) = attacker();
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned(), v4, v6]
}

fn attacker() -> (String, String) {
    (addresses::ATTACKER.v4.to_string(), addresses::ATTACKER.v6.to_string())
}

/// How often a flood tried and was refused, from the line of a log that tells.
fn flood_of(log: &str) -> Result<(u64, u64)> {
    // Each line has time, stream and a tag in front.
    let line = log.lines().find_map(|line| line.get(line.find("{\"tries\"")?..));
    let told: Value = serde_json::from_str(line.with_context(|| format!("no flood in {log:?}"))?)?;
    let number = |key| told.get(key).and_then(Value::as_u64);
    number("tries").zip(number("refused")).with_context(|| format!("no numbers in {told}"))
}

fn all_refused(log: &str) -> Result<()> {
    let (tries, refused) = flood_of(log)?;
    ensure!(tries > 0 && tries == refused, "{refused} of {tries} were refused");
    Ok(())
}

/// The pod was there before the barrier began, and the barrier had passed before the job began.
fn in_order(pod: &PodState) -> Result<()> {
    let barrier = pod.container(Kind::Init, BARRIER)?;
    ensure!(barrier.exit_code()? == 0, "the barrier: {barrier}");
    let job = pod.container(Kind::Ordinary, JOB)?;
    let times =
        [pod.started_at()?, barrier.started_at()?, barrier.finished_at()?, job.started_at()?];
    ensure!(times.is_sorted(), "out of order: {times:?}");
    Ok(())
}
