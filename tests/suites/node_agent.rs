//! Pods on a real containerd, enforced by `weir agent`: in the kubelet's order, and whatever happens to the
//! agent meanwhile.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use weir_tests::agent::Agent;
use weir_tests::exec;
use weir_tests::lab::addresses;
use weir_tests::node::{Cni, Node, Options, PodSpec};
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
    tells_of(&world.node, &uid)?;
    let events = agent.events()?;
    let refused = events.iter().find(|event| {
        event.kind() == "violation"
            && event.text("/destination/ip") == addresses::ATTACKER.v4.to_string()
    });
    let Some(refused) = refused else { bail!("no violation in {events:?}") };
    ensure!(refused.comm() == "nc" && refused.text("/pod/uid") == uid, "{refused}");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    Ok(())
}

/// What a person on the node sees of a pod: `weir pods`, and readiness.
fn tells_of(node: &Node, uid: &str) -> Result<()> {
    let pods = Agent::pods(node)?;
    let pod = pods.as_array().and_then(|pods| pods.iter().find(|pod| pod["uid"] == uid));
    let Some(pod) = pod else { bail!("no pod {uid} in {pods}") };
    ensure!(pod["state"] == "enforcing" && pod["profile"] == "lab/ci", "{pod}");
    ensure!(pod["mode"] == "block" && pod["namespace"] == "ci", "{pod}");
    let number = |key: &str| pod[key].as_u64().unwrap_or_default();
    ensure!(number("allow_entries") >= 1 && number("allowed") >= 1, "{pod}");
    ensure!(number("refused") >= 2 && number("lost") == 0, "{pod}");
    for path in ["healthz", "readyz"] {
        let mut curl = node.command("curl");
        curl.args(["-sS", "--fail-with-body", &format!("http://127.0.0.1:9411/{path}")]);
        exec::run(curl, LIMIT)?.expect_code(0)?;
    }
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
    let barrier = world.barrier(&spec, 2);
    let pod = world.node.run_pod(spec)?;
    let held = pod.start(barrier)?;
    ensure!(held.wait(LIMIT)? == 1, "{}", held.logs()?);
    Ok(())
}

#[test]
fn an_agent_that_comes_later_lets_the_barrier_pass() -> Result<()> {
    let world = World::new(&Options::default())?;
    let spec = PodSpec::new("job");
    let barrier = world.barrier(&spec, 20);
    let pod = world.node.run_pod(spec)?;
    let held = pod.start(barrier)?;
    files_allowed().write(&world.node)?;
    let agent = Agent::spawn(&world.node)?;
    agent.wait_for("enforced")?;
    ensure!(held.wait(LIMIT)? == 0, "{}", held.logs()?);
    Ok(())
}

#[test]
fn a_node_that_only_watches_reports_until_it_is_told_to_hold_back() -> Result<()> {
    let world = World::new(&Options::default())?;
    let agent = files_allowed().only_watches().start(&world.node)?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec::new("job"))?;
    world.run(&pod, &forbidden())?;
    let seen = watch.take()?;
    ensure!(seen.tcp.packets > 0, "the attacker saw {seen:?}");
    let audited = agent.records(&pod.spec().uid, "violation")?;
    let attacker = addresses::ATTACKER.v4.to_string();
    let is_told = audited.iter().any(|event| {
        event.text("/verdict") == "audit" && event.text("/destination/ip") == attacker
    });
    ensure!(is_told, "{audited:?}");

    // The next agent has the profiles decide, for pods that run too.
    agent.stop()?;
    let agent = files_allowed().start(&world.node)?;
    agent.wait_for("took_us=")?;
    watch.take()?;
    let said = world.run(&pod, &format!("{}; curl -sS http://files.example.com/", forbidden()))?;
    ensure!(said.contains("hello from"), "{said}");
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    agent.stop().map(drop)
}
