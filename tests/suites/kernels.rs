//! What weir promises of a pod, on each kernel that clusters run: the same acts on a node in a virtual machine.
//!
//! Each case runs twice: on this machine, where it starts a virtual machine, and in that machine, where the acts are. All
//! other suites run there by `cargo xtask vm`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use weir_tests::agent::Agent;
use weir_tests::exec::{self, DEFAULT_LIMIT};
use weir_tests::jobs::{Jobs, LIMIT, connects, fetch, silent};
use weir_tests::lab::addresses;
use weir_tests::metrics::Samples;
use weir_tests::node::{Pod, PodSpec};
use weir_tests::programs::Program;
use weir_tests::skip::{self, Skip};
use weir_tests::traces;
use weir_tests::vm::{self, Series};

/// What the profile allows, at port 80, and what it does not.
const FILES: &str = "files.example.com";
const MIRROR: &str = "mirror.example.com";

/// The kernels of every test run; the others are in the whole matrix.
const SHORT: [Series; 3] = [Series::V5_10, Series::V6_1, Series::V7];

/// Runs the case `case` of this program on a kernel, or is that run.
fn on(series: Series, case: &str) -> Result<()> {
    if !vm::starts(series, &SHORT) {
        return skip::record(&format!("Linux {series}"), Skip::ShortMatrix);
    }
    vm::acts_on(series, vm::Options::default(), case, acts)
}

/// One act after another, each on what the last one left.
fn acts() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    jobs.refused_flood(PodSpec::new("short"))
        .context("a job that sends from its first instruction on")?;
    silent(&watch)?;
    agent.wait_for("phase=\"gone\"")?;

    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    ensure!(fetch(&build, FILES)? == 0, "what is allowed is not reached");
    ensure!(fetch(&build, MIRROR)? == 4, "a name that is not allowed is not refused");
    let attacker = addresses::ATTACKER.v4.to_string();
    ensure!(!connects(&build, &attacker)?, "an address is reached");
    let told = agent.records_come(&pod.spec().uid, "violation", 2)?;
    let name = told.iter().find(|event| event.host() == MIRROR).context("no name on record")?;
    ensure!(name.comm() == "client" && name.text("/container") == "build", "{name}");
    let connect = told.iter().find(|event| event.ip() == attacker).context("no address")?;
    ensure!(connect.comm() == "curl" && connect.port() == 80, "{connect}");
    ensure!(connect.text("/process/binary") == "/bin/curl", "{connect}");
    ensure!(connect.ancestry().last() == Some(&"curl"), "{connect}");
    silent(&watch)?;
    looked_after(&jobs, &pod).context("a pod's state that somebody changes")?;

    agent.kill()?;
    pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
    let files = addresses::WEB[0].v4.to_string();
    ensure!(connects(&build, &files)?, "what was resolved is lost while no agent runs");
    ensure!(fetch(&build, MIRROR)? == 1, "a name resolved while no agent runs");
    silent(&watch)?;

    let agent = Agent::spawn(&jobs.node)?;
    agent.wait_for("enforced sandbox")?;
    ensure!(fetch(&build, FILES)? == 0, "what is allowed is not reached by the next agent's leave");
    ensure!(!connects(&build, &attacker)?, "an address is reached by the next agent's leave");
    silent(&watch)?;
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    traces::none(&jobs.node)
}

/// What somebody changes in the kernel is put right, again and again.
fn looked_after(jobs: &Jobs, pod: &Pod) -> Result<()> {
    const ROUNDS: u64 = 3;
    // Emulated. Where a look waits for each table that it looks at, it takes that long by itself.
    const MOST: Duration = Duration::from_secs(15);
    let cgroup = fs::metadata(pod.cgroup_folder())?.ino().to_string();
    let address = addresses::ATTACKER.v4.to_string();
    let begun = Instant::now();
    for round in 1..=ROUNDS {
        let mut tamper = jobs.node.command(Program::Tamper.path()?);
        tamper.args(["state", &cgroup, &address, "80"]);
        exec::run(tamper, DEFAULT_LIMIT)?.expect_code(0)?;
        while Samples::of(&jobs.node)?.count("weir_repairs_total{what=\"state\"}")? < round {
            ensure!(begun.elapsed() < MOST, "not in round {round}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

#[test]
fn linux_5_10() -> Result<()> {
    on(Series::V5_10, "linux_5_10")
}

#[test]
fn linux_6_1() -> Result<()> {
    on(Series::V6_1, "linux_6_1")
}

#[test]
fn linux_6_12() -> Result<()> {
    on(Series::V6_12, "linux_6_12")
}

#[test]
fn linux_6_18() -> Result<()> {
    on(Series::V6_18, "linux_6_18")
}

#[test]
fn linux_7() -> Result<()> {
    on(Series::V7, "linux_7")
}
