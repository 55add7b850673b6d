//! The capabilities that the chart gives the agent: enough for all that it does, and none of them for nothing.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::deploy::{CAPABILITIES, capabilities};
use weir_tests::lab::addresses;
use weir_tests::node::{Options, Pod, PodSpec};
use weir_tests::world::{World, files_allowed, forbidden};

const LIMIT: Duration = Duration::from_secs(30);
const FETCH: &str = "curl -sS -m 5 http://files.example.com/";

fn start(world: &World, spec: &AgentSpec, capabilities: &[&str]) -> Result<Agent> {
    spec.write(&world.node)?;
    let agent = Agent::spawn_with(&world.node, capabilities)?;
    agent.wait_for("reconciled")?;
    Ok(agent)
}

/// Everything that a job meets: what is allowed comes, what is not stays, and the record knows the process, which is
/// not root's.
fn enforced(world: &World, agent: &Agent, pod: &Pod) -> Result<()> {
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let said = world.run(pod, &format!("{}; {FETCH}", forbidden()))?;
    ensure!(said.contains("hello from"), "{said}");
    let mut job = world.shell("build", &forbidden());
    job.user = Some(65534);
    let job = pod.start(job)?;
    job.expect(0)?;
    job.remove()?;
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    let attacker = addresses::ATTACKER.v4.to_string();
    let refused = agent.records(&pod.spec().uid, "violation")?;
    let named = |event: &&weir_tests::weir::Event| {
        event.text("/destination/ip") == attacker && event.text("/process/binary") == "/bin/busybox"
    };
    ensure!(refused.iter().filter(named).count() >= 2, "{refused:?}");
    Ok(())
}

#[test]
fn the_charts_capabilities_are_enough() -> Result<()> {
    let world = World::new(&Options::default())?;
    let agent = start(&world, &files_allowed(), &capabilities()?)?;
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process().pid()))?;
    ensure!(status.contains("NoNewPrivs:\t1"), "{status}");
    let pod = world.pod(PodSpec::new("job"))?;
    enforced(&world, &agent, &pod)?;
    // The next agent takes over what it finds.
    agent.kill()?;
    let agent = start(&world, &files_allowed(), &capabilities()?)?;
    agent.wait_for("took_us=")?;
    enforced(&world, &agent, &pod)?;
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop().map(drop)
}

#[test]
fn without_any_one_of_them_no_pod_is_enforced() -> Result<()> {
    let world = World::new(&Options::default())?;
    for missing in CAPABILITIES {
        let mut others = capabilities()?;
        others.retain(|one| *one != missing);
        // What the other includes of it is not enough either.
        others.extend(["BPF", "PERFMON"]);
        unenforced(&world, &others, missing).with_context(|| format!("without {missing}"))?;
    }
    Ok(())
}

/// The agent says what it lacks, and the barrier holds.
fn unenforced(world: &World, capabilities: &[&str], missing: &str) -> Result<()> {
    files_allowed().write(&world.node)?;
    let agent = Agent::spawn_with(&world.node, capabilities)?;
    agent.wait_for(&format!("without CAP_{missing} no pod can be enforced"))?;
    let pod = world.node.run_pod(PodSpec::new("job"))?;
    let barrier = pod.start(world.barrier(pod.spec(), 5))?;
    ensure!(barrier.wait(LIMIT)? == 1, "the barrier: {}", barrier.logs()?);
    // It may have ended by itself.
    drop(agent);
    Ok(())
}
