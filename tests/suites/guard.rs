//! What no hook of a cgroup sees, on each kernel that clusters run with BPF among its security modules: sockets past IP,
//! `bpf()`, processes that leave their pod's cgroup, reads of credential files, and who it was.
//!
//! Each case runs twice: on this machine, where it starts a virtual machine, and in that machine, where the acts are.

use anyhow::{Result, ensure};
use weir_tests::agent::Agent;
use weir_tests::jobs::Jobs;
use weir_tests::kinship::{self, Kin};
use weir_tests::node::Container;
use weir_tests::profile::Profile;
use weir_tests::skip::{self, Skip};
use weir_tests::traces;
use weir_tests::vm::{self, Series, act};

#[path = "guard/guests.rs"]
mod guests;
#[path = "guard/intrusion.rs"]
mod intrusion;
#[path = "guard/reads.rs"]
mod reads;
#[path = "guard/unseen.rs"]
mod unseen;

/// The kernels of every test run, the oldest and the newest; the others are in the whole matrix.
const SHORT: [Series; 2] = [Series::V5_10, Series::V7];

/// Runs the case `case` of this program on a kernel, or is that run.
fn on(series: Series, case: &str) -> Result<()> {
    if !vm::starts(series, &SHORT) {
        return skip::record(&format!("Linux {series}"), Skip::ShortMatrix);
    }
    vm::acts_on(series, vm::Options::default(), case, acts)
}

/// All acts, on one node under one agent.
fn acts() -> Result<()> {
    let jobs = Jobs::new()?;
    let paths = "  credwatch:\n    paths: [/root/.npmrc, \"**/.aws/credentials\"]\n";
    let watching = Profile::deny_all().spec(paths);
    let blocking = Profile::deny_all().spec(&format!("{paths}    block: true"));
    let auditing = blocking.text().replace("mode: block", "mode: audit");
    let docker = Profile::deny_all().spec("  dockerInDocker: true\n  families: [vsock]");
    Jobs::allowing(&[])
        .namespace("watch", &watching.text())
        .namespace("vault", &blocking.text())
        .namespace("audit", &auditing)
        .namespace("docker", &docker.text())
        .config(&format!("require: {{ lsm: true }}\n{}", kinship::limits()))
        .write(&jobs.node)?;
    let agent = act("the agent gets ready", || {
        let agent = Agent::spawn(&jobs.node)?;
        agent.wait_for("security modules call weir's programs")?;
        agent.wait_for("reconciled")?;
        Ok(agent)
    })?;
    intrusion::acts(&jobs, &agent)?;
    reads::acts(&jobs, &agent)?;
    kinship(&jobs, &agent)?;
    act("processes that come from outside", || guests::acts(&jobs))?;
    let agent = if kinship::misses_some()? {
        act("ends that nobody saw", || unseen::acts(&jobs, agent))?
    } else {
        agent
    };
    agent.stop()?;
    traces::none(&jobs.node)
}

/// Who it was, in words of the hooks that see every use of a socket.
fn kinship(jobs: &Jobs, agent: &Agent) -> Result<()> {
    let kin = Kin::new(jobs, agent, "kin", true)?;
    act("orphans", || kin.orphans_are_known_by_their_ancestors())?;
    act("threads", || kin.threads_are_their_process())?;
    act("ids that come again", || kin.ids_that_come_again_are_told_apart())?;
    act("who sends", || kin.who_sends_is_named())?;
    act("short lives", || kin.short_lives_are_named(200, 500))?;
    kin.end()?;
    let kin = Kin::new(jobs, agent, "brood", false)?;
    act("more than a share", || kin.nobody_has_more_than_a_share(&jobs.node))?;
    act("a crowd", || kin.nobody_is_missed_in_a_crowd(&jobs.node, 2))?;
    act("those that ended", || kin.whoever_ended_is_not_followed(&jobs.node))?;
    act("command lines in a rush", || kin.command_lines_are_of_their_own_in_a_rush(1))?;
    kin.end()
}

/// Runs an act of the intruder in a container; what it said.
fn intrude(container: &Container, words: &[&str]) -> Result<String> {
    let mut command = vec!["/bin/intruder"];
    command.extend(words);
    let output = container.exec(&command)?;
    ensure!(output.code == 0, "{words:?}: {}", output.describe());
    Ok(output.stdout.trim().to_owned())
}

/// Runs an act, which must say this.
fn expect(container: &Container, words: &[&str], said: &str) -> Result<()> {
    let found = intrude(container, words)?;
    ensure!(found == said, "{words:?}: {found}, not {said}");
    Ok(())
}

/// Runs a script in a container, which must succeed; what it said.
fn shell(job: &Container, script: &str) -> Result<String> {
    let output = job.exec(&["/bin/sh", "-ec", script])?;
    ensure!(output.code == 0, "{script}: {}", output.describe());
    Ok(output.stdout)
}

/// The only record of a pod's violations with this reason and protocol.
fn violation(
    agent: &Agent,
    uid: &str,
    reason: &str,
    proto: &str,
) -> Result<weir_tests::weir::Event> {
    let found = agent.record_comes(uid, "violation", |event| {
        event.reason() == reason && event.proto() == proto
    })?;
    ensure!(found.text("/attribution") == "lsm", "{found}");
    Ok(found)
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
