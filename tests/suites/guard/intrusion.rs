//! Sockets past IP, `bpf()`, and leaving the cgroup.

use anyhow::{Result, ensure};
use weir_tests::agent::Agent;
use weir_tests::jobs::Jobs;
use weir_tests::node::{Container, PodSpec};
use weir_tests::vm::act;

use super::{expect, shell, violation};

/// The node's bpffs, where a privileged pod has it.
const PINS: &str = "/sys/fs/bpf";
/// A cgroup of nobody's, as a privileged pod sees it.
const ELSEWHERE: &str = "/sys/fs/cgroup/elsewhere";

fn privileged(name: &str, namespace: &str) -> PodSpec {
    PodSpec { namespace: namespace.to_owned(), privileged: true, ..PodSpec::new(name) }
}

pub(super) fn acts(jobs: &Jobs, agent: &Agent) -> Result<()> {
    act("families past IP", || sockets(jobs, agent))?;
    act("weir's own", || machinery(jobs, agent))?;
    act("docker in docker", || docker(jobs))
}

/// Families are refused that lead past IP, in a pod that may do all else.
fn sockets(jobs: &Jobs, agent: &Agent) -> Result<()> {
    let pod = jobs.pod(PodSpec::new("sockets"))?;
    let job = pod.start(jobs.sleeper())?;
    for (family, name) in [("17", "packet"), ("44", "xdp"), ("40", "vsock")] {
        expect(&job, &["socket", family, "3"], "EPERM")?;
        let event = violation(agent, &pod.spec().uid, "raw_socket", name)?;
        ensure!(event.comm() == "intruder" && event.verdict() == "block", "{event}");
        ensure!(event.text("/container") == "build", "{event}");
        ensure!(event.text("/process/binary") == "/bin/intruder", "{event}");
    }
    for family in ["1", "2", "10", "16"] {
        expect(&job, &["socket", family, "2"], "ok")?;
    }
    pod.remove()?;
    // Where audit mode is in force they are made, and told of.
    let pod = jobs.pod(PodSpec { namespace: "audit".to_owned(), ..PodSpec::new("audited") })?;
    let job = pod.start(jobs.sleeper())?;
    expect(&job, &["socket", "17", "3"], "ok")?;
    let event = violation(agent, &pod.spec().uid, "raw_socket", "packet")?;
    ensure!(event.verdict() == "audit", "{event}");
    pod.remove()
}

/// A privileged pod reaches nothing of weir's by `bpf()`, and stays in its cgroup.
fn machinery(jobs: &Jobs, agent: &Agent) -> Result<()> {
    let pod = jobs.pod(privileged("privileged", "ci"))?;
    let job = pod.start(jobs.sleeper().privileged().mount(PINS, PINS))?;
    for act in ["maps", "programs", "links"] {
        expect(&job, &[act], "EPERM")?;
    }
    let pins = job.exec(&["/bin/sh", "-c", &format!("find {PINS} -name PODS")])?;
    let pin = pins.stdout.lines().next().unwrap_or_default().to_owned();
    ensure!(!pin.is_empty(), "no pin is seen: {}", pins.describe());
    expect(&job, &["pin", &pin], "EPERM")?;
    // Traffic control, security modules, tracing: of the programs a runtime needs device filters alone.
    for kind in ["3", "26", "29", "17"] {
        expect(&job, &["load", kind], "EPERM")?;
    }
    let event = violation(agent, &pod.spec().uid, "bpf_denied", "bpf")?;
    ensure!(event.comm() == "intruder", "{event}");
    let own = format!("/sys/fs/cgroup{}/{}", pod.cgroup(), job.id());
    expect(&job, &["devices", &own], "ok")?;
    // Older runtimes load a program that sees packets, to learn whether there are any.
    expect(&job, &["trial", &own], "ok EBADF EPERM EPERM")?;

    shell(&job, &format!("mkdir {ELSEWHERE}"))?;
    // Runtimes give controllers from the root down; nothing else of a cgroup of others may be written.
    shell(&job, "echo > /sys/fs/cgroup/cgroup.subtree_control")?;
    let freeze = job.exec(&["/bin/sh", "-c", &format!("echo 0 > {ELSEWHERE}/cgroup.freeze")])?;
    ensure!(freeze.code != 0 && freeze.stderr.contains("not permitted"), "{}", freeze.describe());
    let event = violation(agent, &pod.spec().uid, "cgroup_left", "cgroup")?;
    ensure!(event.comm() == "sh", "{event}");
    expect(&job, &["leave", ELSEWHERE], "EPERM ok")?;
    agent.record_comes(&pod.spec().uid, "violation", |event| {
        event.reason() == "cgroup_left" && event.comm() == "intruder"
    })?;
    // No hook sees where a child is made; what it wants then is refused.
    expect(&job, &["clone", ELSEWHERE], "ok EPERM")?;
    // Below its own it may go.
    let below = format!("{own}/below");
    shell(&job, &format!("mkdir {below}"))?;
    expect(&job, &["leave", &below], "ok ok")?;
    shell(&job, &format!("rmdir {below} {ELSEWHERE}"))?;
    act("many cgroups", || many_cgroups(&job, &own))?;
    pod.remove()
}

/// However many cgroups a pod makes, it leaves room for those of others: it may not move to the ones beyond. Those that
/// are gone make room for others.
fn many_cgroups(job: &Container, own: &str) -> Result<()> {
    const KNOWN: usize = 224;
    for _ in 0..2 {
        let each = format!("seq 1 {} | sed s,^,{own}/of-many-,", KNOWN + 1);
        shell(job, &format!("{each} | xargs mkdir"))?;
        expect(job, &["leave", &format!("{own}/of-many-{KNOWN}")], "ok ok")?;
        expect(job, &["leave", &format!("{own}/of-many-{}", KNOWN + 1)], "EPERM ok")?;
        shell(job, &format!("{each} | xargs rmdir"))?;
    }
    Ok(())
}

/// Docker in Docker leaves its cgroup, and stays what it is.
fn docker(jobs: &Jobs) -> Result<()> {
    let pod = jobs.pod(privileged("docker", "docker"))?;
    let job = pod.start(jobs.sleeper().privileged())?;
    expect(&job, &["socket", "40", "1"], "ok")?;
    shell(&job, &format!("mkdir {ELSEWHERE}"))?;
    expect(&job, &["leave", ELSEWHERE], "ok ok")?;
    let said = shell(&job, &format!("echo 0 > {ELSEWHERE}/cgroup.procs; intruder maps"))?;
    ensure!(said.trim() == "EPERM", "{said}");
    shell(&job, &format!("rmdir {ELSEWHERE}"))?;
    pod.remove()
}
