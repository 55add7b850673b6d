//! Pods of every shape that a kubelet makes: on the node's network, with several containers, begun again, under
//! systemd's names, and those that nobody selected.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::agent::Agent;
use weir_tests::exec::{self, DEFAULT_LIMIT};
use weir_tests::lab::addresses;
use weir_tests::node::{CgroupNames, Cni, Containerd, Options, Pod, PodSpec, Series};
use weir_tests::skip::{self, Skip};
use weir_tests::weir::Event;
use weir_tests::world::{FORBIDDEN_PORT, World, files_allowed, forbidden};

const LIMIT: Duration = Duration::from_secs(30);
const ALLOWED: &str = "curl -sS -m 5 http://files.example.com/";

fn begin() -> Result<(World, Agent)> {
    let world = World::new(&Options::default())?;
    let agent = files_allowed().start(&world.node)?;
    Ok((world, agent))
}

/// Does what is forbidden, then what is allowed.
fn attempt() -> String {
    format!("{}; {ALLOWED}", forbidden())
}

/// A job in `pod` is held to its policy.
fn enforced(world: &World, pod: &Pod) -> Result<()> {
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let said = world.run(pod, &attempt())?;
    ensure!(said.contains("hello from"), "{said}");
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    Ok(())
}

#[test]
fn a_pod_on_the_nodes_network_is_enforced_and_the_node_is_not() -> Result<()> {
    let (world, agent) = begin()?;
    let pod = world.pod(PodSpec { host_network: true, ..PodSpec::new("job") })?;
    enforced(&world, &pod)?;
    let said = world.run(&pod, "client udp 203.0.113.153 53 files.example.com 80; true")?;
    ensure!(said.contains("\"connected\":true"), "a question past the resolver: {said}");
    ensure!(world.lab.foreign.questions().is_empty(), "a question came to the foreign resolver");
    let mut free = world.node.command("curl");
    free.args(["-sS", "-m", "5", &format!("http://{}:{FORBIDDEN_PORT}/", addresses::ATTACKER.v4)]);
    let output = exec::run(free, DEFAULT_LIMIT)?.expect_code(0)?;
    ensure!(output.stdout.contains("taken"), "{}", output.describe());
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    Ok(())
}

#[test]
fn every_container_of_a_pod_is_enforced_whenever_it_comes() -> Result<()> {
    let (world, agent) = begin()?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec::new("job"))?;
    let forever = format!("{}; echo done; exec sleep 600", attempt());
    let first = pod.start(world.shell("first", &forever))?;
    let second = pod.start(world.shell("second", &attempt()))?;
    ensure!(second.expect(0)?.contains("hello from"));
    let inside = first.exec(&["/bin/sh", "-c", &attempt()])?.expect_code(0)?;
    ensure!(inside.stdout.contains("hello from"), "{}", inside.describe());
    let again = first.restart(&pod)?;
    let inside = again.exec(&["/bin/sh", "-c", &attempt()])?.expect_code(0)?;
    ensure!(inside.stdout.contains("hello from"), "{}", inside.describe());
    // To the node an ephemeral container is one that comes late.
    let late = pod.start(world.shell("debugger", &attempt()))?;
    ensure!(late.expect(0)?.contains("hello from"));
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    let events = agent.events()?;
    for container in ["first", "second", "debugger"] {
        for kind in ["violation", "flow"] {
            let named = |event: &&Event| {
                event.kind() == kind
                    && event.text("/container") == container
                    && event.comm() == "nc"
            };
            ensure!(
                events.iter().any(|event| named(&event)),
                "no {kind} of {container}: {events:?}"
            );
        }
    }
    let nameless = events.iter().find(|event| {
        ["cgroup", "lsm"].contains(&event.text("/attribution"))
            && !["attach", "detach"].contains(&event.kind())
            && event.text("/container").is_empty()
    });
    ensure!(nameless.is_none(), "no container in {nameless:?}");
    Ok(())
}

#[test]
fn a_sandbox_made_anew_is_enforced_anew() -> Result<()> {
    let (world, agent) = begin()?;
    let pod = world.pod(PodSpec::new("job"))?;
    enforced(&world, &pod)?;
    let first = pod.id().to_owned();
    let netns = pod.netns().context("no namespace")?.to_path_buf();
    let pod = pod.recreate()?;
    ensure!(pod.id() != first && pod.netns() != Some(&netns), "the sandbox is the same");
    world.pass_barrier(&pod)?;
    enforced(&world, &pod)?;
    pod.remove()?;
    let attached = agent.events()?.iter().filter(|event| event.kind() == "attach").count();
    ensure!(attached == 2, "{attached} attachments");
    Ok(())
}

#[test]
fn a_sandbox_that_comes_before_the_last_one_ends_is_enforced_after_it() -> Result<()> {
    let (world, _agent) = begin()?;
    let pod = world.pod(PodSpec::new("job"))?.supersede()?;
    world.pass_barrier(&pod)?;
    enforced(&world, &pod)?;
    pod.remove()
}

/// Without an agent nobody answers the barrier of the sandbox that comes second.
#[test]
fn a_sandbox_made_anew_is_held_without_an_agent() -> Result<()> {
    let (world, agent) = begin()?;
    let pod = world.pod(PodSpec::new("job"))?;
    agent.kill()?;
    let pod = pod.recreate()?;
    let barrier = pod.start(world.barrier(pod.spec(), 2))?;
    ensure!(barrier.wait(LIMIT)? == 1, "{}", barrier.logs()?);
    Ok(())
}

#[test]
fn a_pod_that_nobody_selected_is_untouched() -> Result<()> {
    let (world, agent) = begin()?;
    let pod =
        world.node.run_pod(PodSpec { namespace: "other".to_owned(), ..PodSpec::new("app") })?;
    let script = format!("curl -sS -m 5 http://{}:{FORBIDDEN_PORT}/", addresses::ATTACKER.v4);
    let said = world.run(&pod, &script)?;
    ensure!(said.contains("taken"), "{said}");
    pod.remove()?;
    // What the agent writes of its policies is of no pod.
    let told = agent.events()?.into_iter().find(|event| event.kind() != "policy");
    ensure!(told.is_none(), "a record of a pod that nobody selected: {told:?}");
    Ok(())
}

/// With room for one pod a second one is held until the first has ended.
#[test]
fn a_pod_without_a_slot_is_held_until_one_is_free() -> Result<()> {
    let world = World::new(&Options::default())?;
    let agent = files_allowed().config("limits: { podSlots: 2 }").start(&world.node)?;
    let first = world.pod(PodSpec::new("first"))?;
    let second = world.node.run_pod(PodSpec::new("second"))?;
    agent.wait_for("a pod is not enforced")?;
    let held = second.start(world.barrier(second.spec(), 60))?;
    enforced(&world, &first)?;
    ensure!(!held.logs()?.contains("enforcement is proven"), "{}", held.logs()?);
    first.remove()?;
    ensure!(held.wait(LIMIT)? == 0, "{}", held.logs()?);
    enforced(&world, &second)
}

/// A pod that nobody selected asks for it by its barrier; with no profile of its namespace it is denied everything.
#[test]
fn a_pod_with_the_barrier_is_enforced_whoever_selects_it() -> Result<()> {
    let (world, agent) = begin()?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec { namespace: "other".to_owned(), ..PodSpec::new("app") })?;
    let said = world.run(&pod, &format!("{}; {ALLOWED} || echo refused", forbidden()))?;
    ensure!(said.contains("refused"), "{said}");
    let seen = watch.take()?;
    ensure!(seen.is_empty(), "the attacker saw {seen:?}");
    // The barrier ended long ago when the next agent comes.
    agent.kill()?;
    let agent = files_allowed().start(&world.node)?;
    agent.wait_for("enforced sandbox")?;
    let said = world.run(&pod, &format!("{ALLOWED} || echo refused"))?;
    ensure!(said.contains("refused"), "{said}");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    Ok(())
}

#[test]
fn systemds_names_of_cgroups_are_understood() -> Result<()> {
    let (world, agent) = begin()?;
    let spec = PodSpec { cgroup_names: CgroupNames::Systemd, ..PodSpec::new("job") };
    let pod = world.pod(spec)?;
    enforced(&world, &pod)?;
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    Ok(())
}

fn series(series: Series) -> Result<()> {
    let Some(containerd) = Containerd::find(series)? else {
        return skip::record(&format!("pod_shapes::{series:?}"), Skip::NoContainerd);
    };
    for cni in [Cni::Bridge, Cni::Ptp] {
        let world =
            World::new(&Options { containerd: containerd.clone(), cni, ..Options::default() })?;
        let agent = files_allowed().start(&world.node)?;
        let pod = world.pod(PodSpec::new("job")).with_context(|| format!("{series:?} {cni:?}"))?;
        enforced(&world, &pod).with_context(|| format!("{series:?} {cni:?}"))?;
        pod.remove()?;
        agent.wait_for("phase=\"gone\"")?;
    }
    Ok(())
}

#[test]
fn pods_of_containerd_1_7_are_enforced() -> Result<()> {
    series(Series::V1_7)
}

#[test]
fn pods_of_containerd_2_are_enforced() -> Result<()> {
    series(Series::V2)
}
