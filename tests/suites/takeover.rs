//! The agent goes and comes again, as it likes and as it does not: what it enforced stays enforced, and the
//! next one takes it over.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use weir::netns::Netns;
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::dice::Dice;
use weir_tests::download::Download;
use weir_tests::exec::{self, Running};
use weir_tests::jobs::{Jobs, LIMIT, connects, fetch, listeners, passes, silent};
use weir_tests::lab::addresses;
use weir_tests::node::{Node, PodSpec};
use weir_tests::traces;
use weir_tests::vm::{patient, repetitions};

/// What the profiles allow, at port 80, and where it is.
const FILES: &str = "files.example.com";
const MIRROR: &str = "mirror.example.com";

/// Starts another agent with what is written on the node, and waits until it has been through all that runs
/// there, and enforces `pods` pods.
fn next_agent(node: &Node, pods: usize) -> Result<Agent> {
    let agent = Agent::spawn(node)?;
    agent.wait_for("reconciled")?;
    agent.wait_for_many("enforced sandbox", pods, LIMIT)?;
    Ok(agent)
}

#[test]
fn a_port_that_was_taken_while_no_agent_ran_is_left_to_its_holder() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES, MIRROR]).start(&jobs.node)?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    ensure!(fetch(&build, FILES)? == 0, "the name does not resolve");
    let listening = listeners(&jobs, &pod)?;
    let local = listening.split_whitespace().nth(4).context("nobody listens in the pod")?;
    let port: u16 = local.rsplit(':').next().context("no port")?.parse()?;
    agent.kill()?;
    let netns = Netns::open(format!("/proc/{}/ns/net", pod.pid()).as_ref())?;
    let holder = netns.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))??;
    let agent = next_agent(&jobs.node, 1)?;
    ensure!(fetch(&build, MIRROR)? == 0, "no name resolves by another port");
    drop(holder);
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    traces::none(&jobs.node)
}

#[test]
fn a_dead_agent_leaves_everything_as_it_was_and_the_next_one_goes_on() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES, MIRROR]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    ensure!(fetch(&build, FILES)? == 0, "the name does not resolve");
    let download = Download::begin(&jobs, &pod, FILES)?;
    let listening = listeners(&jobs, &pod)?;
    ensure!(!listening.is_empty(), "nobody listens in the pod");
    let ends = jobs.pod(PodSpec::new("ends"))?;

    agent.kill()?;
    download.flows()?;
    let files = addresses::WEB[0].v4.to_string();
    ensure!(connects(&build, &files)?, "what was resolved is lost while no agent runs");
    ensure!(fetch(&build, MIRROR)? == 1, "a name resolved while no agent runs");
    ensure!(!connects(&build, &addresses::WEB[3].v4.to_string())?, "an address is open");
    pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
    ends.remove()?;
    let (late, barrier) = jobs.held(PodSpec::new("late"))?;
    silent(&watch)?;

    let agent = next_agent(&jobs.node, 2)?;
    passes(&barrier)?;
    ensure!(listeners(&jobs, &pod)? == listening, "the listener has moved");
    ensure!(connects(&build, &files)?, "what was resolved is lost");
    ensure!(fetch(&build, MIRROR)? == 0, "no name resolves after the adoption");
    download.flows()?;
    let layout = traces::layout(&jobs.node)?;
    let pinned = traces::pinned(&jobs.node, &layout)?;
    ensure!(pinned == [pod.id().to_owned(), late.id().to_owned()].into(), "{pinned:?}");
    let floods = |events: &[weir_tests::weir::Event]| {
        events.iter().filter(|event| event.comm() == "flood" && event.kind() == "violation").count()
    };
    let before = floods(&agent.events()?);
    late.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
    silent(&watch)?;
    for pod in [late, pod] {
        pod.remove()?;
    }
    agent.wait_for_many("phase=\"gone\"", 2, LIMIT)?;
    let events = agent.events()?;
    ensure!(floods(&events) > before, "records end with the first agent");
    // The name was learnt by the agent that was killed.
    let flow = events.iter().find(|event| event.kind() == "flow" && event.ip() == files);
    ensure!(flow.is_some_and(|flow| flow.host() == FILES), "{flow:?} in {events:?}");
    agent.stop()?;
    traces::none(&jobs.node)
}

#[test]
fn kills_at_random_instants_open_nothing_and_lose_nothing() -> Result<()> {
    let kills = repetitions(30);
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let stays = jobs.pod(PodSpec::new("stays"))?;
    let download = Download::begin(&jobs, &stays, FILES)?;
    stays.start(jobs.flood(None))?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let last = std::thread::scope(|scope| {
        let churn: Vec<_> = (0..2)
            .map(|thread| {
                let (jobs, done) = (&jobs, &done);
                scope.spawn(move || -> Result<u32> {
                    let mut pods = 0;
                    while !done.load(relaxed) {
                        jobs.refused_flood(PodSpec::new(&format!("churn-{thread}-{pods}")))?;
                        pods += 1;
                    }
                    Ok(pods)
                })
            })
            .collect();
        let mut dice = Dice::new(0x5eed);
        let last = (0..kills).try_fold(agent, |agent, kill| {
            // Some agents have only begun to load, some follow all pods.
            if kill % 3 != 0 {
                agent.wait_for("reconciled")?;
            }
            std::thread::sleep(patient(Duration::from_millis(dice.below(700))));
            agent.kill()?;
            silent(&watch).with_context(|| format!("kill {kill}"))?;
            Agent::spawn(&jobs.node)
        });
        done.store(true, relaxed);
        let mut pods = 0;
        for thread in churn {
            pods +=
                thread.join().map_err(|_panic| anyhow::anyhow!("a pod's thread panicked"))??;
        }
        ensure!(pods > 2, "only {pods} pods in all");
        last
    })?;
    download.flows()?;
    silent(&watch)?;
    last.kill()?;
    let agent = next_agent(&jobs.node, 1)?;
    let left = traces::of_weir(&jobs.node)?;
    let others = left.iter().filter(|trace| !trace.contains(stays.id())).count();
    // Its slot and its device, which do not tell whose they are.
    ensure!(others == 2 && left.len() == 4, "{left:?}");
    stays.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    traces::none(&jobs.node)
}

/// Kills an agent at one of its system calls from now on: strace counts in each thread by itself.
fn kill_at(agent: &Agent, calls: &str, number: u32) -> Result<Running> {
    let mut strace = Command::new("sh");
    let inject = format!("inject={calls}:signal=SIGKILL:when={number}");
    strace.args(["-c", "exec strace -f -o /dev/null -p \"$1\" -e \"$2\" 2>&1", "sh"]);
    strace.arg(agent.process().pid().to_string()).arg(inject);
    let strace = exec::spawn(strace)?;
    strace.wait_for_line(LIMIT, |line| line.contains("attached"))?;
    Ok(strace)
}

#[test]
fn what_a_killed_agent_began_the_next_one_finishes() -> Result<()> {
    let jobs = Jobs::new()?;
    let spec = Jobs::allowing(&[FILES]);
    spec.write(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let mut killed = 0;
    // Both layers take some eighty calls; the thread of the slots makes its own.
    for number in [1, 2, 3, 5, 8, 13, 20, 26, 30, 38, 46, 60] {
        let agent = next_agent(&jobs.node, 0)?;
        let strace = kill_at(&agent, "bpf", number)?;
        let (pod, barrier) = jobs.held(PodSpec::new("begun"))?;
        // What is not killed has made fewer calls: it enforces the pod.
        let died = agent.wait_for("\"enforcing\"").is_err();
        killed += u32::from(died);
        agent.kill().ok();
        strace.finish(LIMIT)?;
        let agent = next_agent(&jobs.node, 1)?;
        passes(&barrier).with_context(|| format!("killed at call {number}"))?;
        let other = jobs.pod(PodSpec::new("other"))?;
        for pod in [&pod, &other] {
            pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
        }
        silent(&watch).with_context(|| format!("killed at call {number}"))?;
        let build = pod.start(jobs.sleeper())?;
        ensure!(fetch(&build, FILES)? == 0, "killed at call {number}: the name does not resolve");
        pod.remove()?;
        other.remove()?;
        agent.wait_for_many("phase=\"gone\"", 2, LIMIT)?;
        agent.stop()?;
        traces::none(&jobs.node).with_context(|| format!("killed at call {number}"))?;
    }
    ensure!(killed > 6, "only {killed} agents were killed");
    Ok(())
}

#[test]
fn an_agent_that_is_told_to_end_leaves_enforcement_in_place() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let download = Download::begin(&jobs, &pod, FILES)?;
    let said = agent.stop()?;
    ensure!(said.stdout.contains("what is enforced stays enforced"), "{}", said.describe());
    pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
    silent(&watch)?;
    download.flows()
}

/// Revokes `FILES`, goes on allowing `MIRROR`.
fn revoke(change: impl FnOnce(&Jobs, Agent, &AgentSpec) -> Result<Agent>) -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES, MIRROR]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    let revoked = Download::begin(&jobs, &pod, FILES)?;
    let allowed = Download::begin(&jobs, &pod, MIRROR)?;
    let agent = change(&jobs, agent, &Jobs::allowing(&[MIRROR]))?;
    ensure!(revoked.is_cut(), "a revoked download goes on");
    allowed.flows()?;
    ensure!(fetch(&build, FILES)? == 4, "a revoked name resolves");
    ensure!(!connects(&build, &addresses::WEB[0].v4.to_string())?, "a revoked address is open");
    ensure!(fetch(&build, MIRROR)? == 0, "an allowed name does not resolve");
    silent(&watch)?;
    agent.stop().map(drop)
}

#[test]
fn a_policy_that_changed_while_no_agent_ran_is_put_into_force() -> Result<()> {
    revoke(|jobs, agent, spec| {
        agent.kill()?;
        spec.write(&jobs.node)?;
        next_agent(&jobs.node, 1)
    })
}

#[test]
fn a_policy_is_read_again_on_sighup() -> Result<()> {
    revoke(|jobs, agent, spec| {
        spec.write(&jobs.node)?;
        agent.process().signal(Signal::SIGHUP)?;
        agent.wait_for("are in force")?;
        Ok(agent)
    })
}

#[test]
fn a_broken_policy_changes_nothing_on_sighup() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    let download = Download::begin(&jobs, &pod, FILES)?;
    AgentSpec::default()
        .namespace("ci", "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: lab/test }\nspec: { allwo: [] }\n")
        .write(&jobs.node)?;
    agent.process().signal(Signal::SIGHUP)?;
    let line = agent.wait_for("the policies stay as they were")?;
    ensure!(line.contains("allwo"), "{line}");
    download.flows()?;
    ensure!(fetch(&build, FILES)? == 0, "the name does not resolve any more");
    pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
    silent(&watch)?;
    Jobs::allowing(&[FILES, MIRROR]).write(&jobs.node)?;
    agent.process().signal(Signal::SIGHUP)?;
    agent.wait_for("are in force")?;
    ensure!(fetch(&build, MIRROR)? == 0, "a policy that is whole again is not read");
    agent.stop().map(drop)
}

#[test]
fn a_second_agent_refuses_and_harms_nobody() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    let second = Agent::spawn(&jobs.node)?.finish()?;
    ensure!(second.code != 0, "{}", second.describe());
    ensure!(second.stdout.contains("another weir agent is running"), "{}", second.describe());
    ensure!(fetch(&build, FILES)? == 0, "the first agent no longer answers");
    Agent::pods(&jobs.node)?;
    jobs.refused_flood(PodSpec::new("next"))?;
    silent(&watch)?;
    agent.stop().map(drop)
}

#[test]
fn an_upgrade_replaces_every_program_without_an_instant_of_open_egress() -> Result<()> {
    let jobs = Jobs::new()?;
    let mut agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let download = Download::begin(&jobs, &pod, FILES)?;
    let flood = pod.start(jobs.flood(None))?;
    let mut programs = traces::programs(&jobs.node, pod.id())?;
    ensure!(programs.len() >= 12, "{programs:?}");
    for upgrade in 0..repetitions(20) {
        agent.stop()?;
        agent = next_agent(&jobs.node, 1)?;
        let now = traces::programs(&jobs.node, pod.id())?;
        let all_new = now.iter().zip(&programs).all(|(now, old)| now.0 == old.0 && now.1 != old.1);
        ensure!(all_new && now.len() == programs.len(), "upgrade {upgrade}: {programs:?}, {now:?}");
        programs = now;
        silent(&watch).with_context(|| format!("upgrade {upgrade}"))?;
        download.flows()?;
    }
    ensure!(flood.pid().is_ok(), "the flood has ended:\n{}", flood.logs()?);
    agent.stop().map(drop)
}

#[test]
fn pins_of_another_layout_go_when_own_hooks_are_in_place_beside_them() -> Result<()> {
    const OTHER: &str = "layout-0000000000000000";
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let ends = jobs.pod(PodSpec::new("ends"))?;
    let build = pod.start(jobs.sleeper())?;
    let flood = pod.start(jobs.flood(None))?;
    agent.stop()?;
    let own = traces::layout(&jobs.node)?;
    let pins = jobs.node.path(traces::PINS);
    fs::rename(pins.join(&own), pins.join(OTHER)).context("renaming a layout")?;
    ends.remove()?;
    silent(&watch)?;
    let agent = next_agent(&jobs.node, 1)?;
    silent(&watch)?;
    let layouts = traces::layouts(&jobs.node)?;
    ensure!(layouts == [own.clone()].into(), "{layouts:?}");
    let pinned = traces::pinned(&jobs.node, &own)?;
    ensure!(pinned == [pod.id().to_owned()].into(), "{pinned:?}");
    ensure!(fetch(&build, FILES)? == 0, "the name does not resolve");
    ensure!(flood.pid().is_ok(), "the flood has ended:\n{}", flood.logs()?);
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    silent(&watch)?;
    agent.stop()?;
    traces::none(&jobs.node)
}

#[test]
fn a_new_sandbox_of_a_pod_takes_nothing_of_the_last_one() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let mut pod = jobs.pod(PodSpec::new("again"))?;
    let mut neighbours = Vec::new();
    for attempt in 0..5 {
        pod = pod.recreate()?;
        let barrier = jobs.barrier(&pod)?;
        // Takes whatever slot is wrongly free.
        neighbours.push(jobs.pod(PodSpec::new("neighbour"))?);
        passes(&barrier).with_context(|| format!("sandbox {attempt}"))?;
        pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
        let build = pod.start(jobs.sleeper())?;
        ensure!(fetch(&build, FILES)? == 0, "sandbox {attempt}: the name does not resolve");
    }
    silent(&watch)?;
    agent.kill()?;
    let pod = pod.recreate()?;
    let barrier = jobs.barrier(&pod)?;
    let agent = next_agent(&jobs.node, neighbours.len() + 1)?;
    passes(&barrier)?;
    let attached = agent
        .events()?
        .iter()
        .filter(|event| event.kind() == "attach" && event.text("/pod/uid") == pod.spec().uid)
        .count();
    ensure!(attached == 7, "{attached} sandboxes of the pod were told of");
    let slots =
        traces::of_weir(&jobs.node)?.iter().filter(|trace| trace.starts_with("slot")).count();
    ensure!(slots == neighbours.len() + 1, "{slots} slots");
    neighbours.push(pod);
    let pods = neighbours.len();
    for pod in neighbours {
        pod.remove()?;
    }
    agent.wait_for_many("phase=\"gone\"", pods, LIMIT)?;
    agent.stop()?;
    silent(&watch)?;
    traces::none(&jobs.node)
}
