//! Pods on a real containerd, enforced by `weir agent`: in the kubelet's order, and whatever happens to the
//! agent meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::agent::Agent;
use weir_tests::lab::addresses;
use weir_tests::node::{Cni, Options, PodSpec};
use weir_tests::world::{World, files_allowed, forbidden};

const LIMIT: Duration = Duration::from_secs(30);

fn kubelets_order(options: &Options) -> Result<()> {
    let world = World::new(options)?;
    let agent = files_allowed().start(&world.node)?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec::new("job"))?;
    let script = format!("{}; curl -sS http://files.example.com/", forbidden());
    let said = world.run(&pod, &script)?;
    ensure!(said.contains("hello from"), "{said}");
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    let uid = pod.spec().uid.clone();
    let events = agent.events()?;
    let refused = events.iter().find(|event| {
        event.kind() == "violation"
            && event.text("/destination/ip") == addresses::ATTACKER.v4.to_string()
    });
    let Some(refused) = refused else { anyhow::bail!("no violation in {events:?}") };
    ensure!(refused.comm() == "nc" && refused.text("/pod/uid") == uid, "{refused}");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    Ok(())
}

#[test]
fn a_job_is_enforced_before_its_first_instruction() -> Result<()> {
    kubelets_order(&Options::default())
}

#[test]
fn a_job_is_enforced_with_the_ptp_plug_in() -> Result<()> {
    kubelets_order(&Options { cni: Cni::Ptp, ..Options::default() })
}

#[test]
fn without_an_agent_the_barrier_holds_the_job() -> Result<()> {
    let world = World::new(&Options::default())?;
    let spec = PodSpec::new("job");
    let barrier = world.barrier(&spec, "2s");
    let pod = world.node.run_pod(spec)?;
    let held = pod.start(barrier)?;
    ensure!(held.wait(LIMIT)? == 1, "{}", held.logs()?);
    Ok(())
}

#[test]
fn an_agent_that_comes_later_lets_the_barrier_pass() -> Result<()> {
    let world = World::new(&Options::default())?;
    let spec = PodSpec::new("job");
    let barrier = world.barrier(&spec, "20s");
    let pod = world.node.run_pod(spec)?;
    let held = pod.start(barrier)?;
    files_allowed().write(&world.node)?;
    let agent = Agent::spawn(&world.node)?;
    agent.wait_for("enforced")?;
    ensure!(held.wait(LIMIT)? == 0, "{}", held.logs()?);
    Ok(())
}
