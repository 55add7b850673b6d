//! Pods side by side on one node, each under the profile of its namespace: what one of them floods must not
//! reach the others.

mod ground;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fmt, fs};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub use self::ground::{BUDGET, ENTRIES, RESET_PORT, TRIED, resolver};
use crate::agent::{Agent, AgentSpec};
use crate::looks::Looks;
use crate::node::{Container, ContainerSpec, Options, Pod, PodSpec};
use crate::profile::Profile;
use crate::traces;
use crate::vm::{guest_folder, patient};
use crate::weir::Event;
use crate::world::World;

/// The namespace of pods that are not to notice anything.
pub const QUIET: &str = "quiet";
/// The namespace of pods that flood.
pub const LOUD: &str = "loud";
/// How long any one wait may take.
pub const LIMIT: Duration = Duration::from_secs(20);
/// How long a flood goes on that nobody ends.
const FLOOD: Duration = Duration::from_secs(60);
/// The slowest answer that a neighbour of a flood may get: a stub asks again after five seconds.
const SLOWEST: Duration = Duration::from_secs(2);

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A node with an agent, and a profile for each of the two namespaces.
#[derive(Debug)]
pub struct Neighbours {
    /// The agent.
    pub agent: Agent,
    /// The node and the internet around it.
    pub world: World,
}

/// What `weir pods` tells of one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Allow entries.
    pub entries: u64,
    /// Connects and packets that were let pass.
    pub allowed: u64,
    /// Connects, packets and questions that were refused.
    pub refused: u64,
    /// Events that could not be told.
    pub lost: u64,
}

/// What `deluge` did.
#[derive(Clone, Debug)]
pub struct Done(Value);

impl fmt::Display for Done {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Done {
    fn parse(said: &str) -> Result<Self> {
        serde_json::from_str(said).map(Self).with_context(|| format!("deluge said {said:?}"))
    }

    /// A count by its name.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Whether so many questions were answered, each of them soon. In an emulated machine it is one processor that floods,
    /// asks and answers: there some have to be.
    #[must_use]
    pub fn is_answered(&self, count: u64) -> bool {
        let answered = self.count("answered");
        if guest_folder().is_some() {
            return answered > 0;
        }
        let worst_ms = self.0.get("worst_ms").and_then(Value::as_f64).unwrap_or_default();
        answered == count && Duration::from_secs_f64(worst_ms / 1e3) < SLOWEST
    }
}

/// A flood under way.
#[derive(Debug)]
pub struct Flood(Container);

impl Flood {
    /// Fails if it has come to an end by itself: what was seen meanwhile was then no proof.
    pub fn goes_on(&self) -> Result<()> {
        let said = self.0.logs()?;
        ensure!(said.is_empty(), "the flood has ended: {said}");
        Ok(())
    }

    /// Ends it, and says what it did.
    pub fn end(self) -> Result<Done> {
        self.goes_on()?;
        self.0.stop(10)?;
        Done::parse(&self.0.expect(0)?)
    }
}

impl Neighbours {
    /// Starts node and agent; `prepare` makes the names that the profiles are about.
    fn new(
        quiet: &Profile,
        loud: &Profile,
        config: &str,
        prepare: impl FnOnce(&World) -> Result<()>,
    ) -> Result<Self> {
        let world = World::new(&Options::default())?;
        prepare(&world)?;
        let agent = AgentSpec::default()
            .namespace(QUIET, &quiet.text())
            .namespace(LOUD, &loud.text())
            .config(config)
            .start(&world.node)?;
        Ok(Self { agent, world })
    }

    /// A pod of this namespace, past its barrier.
    pub fn pod(&self, namespace: &str) -> Result<Pod> {
        self.world.pod(spec(namespace))
    }

    /// A container of `pod` that waits for commands.
    pub fn shell(&self, pod: &Pod) -> Result<Shell> {
        let name = format!("shell-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        pod.start(self.world.shell(&name, "exec sleep 600")).map(Shell)
    }

    /// Begins a flood: an act of `deluge` by so many processes.
    pub fn flood(&self, pod: &Pod, act: &str, processes: u32, words: &[&str]) -> Result<Flood> {
        let processes = processes.to_string();
        let limit = patient(FLOOD).as_millis().to_string();
        let command = [&["/bin/deluge", act, &limit, &processes], words].concat();
        let name = format!("{act}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        pod.start(ContainerSpec::new(&name, &self.world.job).command(&command)).map(Flood)
    }

    /// What the agent tells of a pod.
    pub fn told(&self, pod: &Pod) -> Result<Told> {
        let pods = Agent::pods(&self.world.node)?;
        let mut list = pods.as_array().into_iter().flatten();
        let told = list
            .find(|told| told.get("sandbox").and_then(Value::as_str) == Some(pod.id()))
            .with_context(|| format!("the agent does not know {}", pod.id()))?;
        let number = |field: &str| {
            told.get(field).and_then(Value::as_u64).with_context(|| format!("no {field}: {told}"))
        };
        Ok(Told {
            entries: number("allow_entries")?,
            allowed: number("allowed")?,
            refused: number("refused")?,
            lost: number("lost")?,
        })
    }

    /// Waits until what the agent tells of `pod` is as wanted.
    pub fn until(&self, pod: &Pod, what: &str, wanted: impl Fn(Told) -> bool) -> Result<Told> {
        let looks = Looks::within(LIMIT);
        loop {
            let told = self.told(pod)?;
            if wanted(told) {
                return Ok(told);
            }
            ensure!(looks.again(), "not {what} within {LIMIT:?}: {told:?}");
        }
    }

    /// The violations of one pod so far.
    pub fn violations(&self, pod: &Pod) -> Result<Vec<Event>> {
        self.agent.records(&pod.spec().uid, "violation")
    }

    /// Waits until `count` violations of a pod, or more, are on record.
    pub fn violations_come(&self, pod: &Pod, count: usize) -> Result<Vec<Event>> {
        self.agent.records_come(&pod.spec().uid, "violation", count)
    }

    /// Bytes that the agent keeps resident.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.agent.process().pid());
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Waits until nothing of weir's names any pod but these.
    pub fn only_these_are_left(&self, pods: &[&Pod]) -> Result<()> {
        let node = &self.world.node;
        let looks = Looks::within(LIMIT);
        loop {
            let found = traces::of_weir(node)?;
            let of_these = |trace: &&String| pods.iter().any(|pod| trace.contains(pod.id()));
            let strange: Vec<&String> = found
                .iter()
                .filter(|trace| trace.starts_with("pins") || trace.starts_with("journal"))
                .filter(|trace| !of_these(trace))
                .collect();
            let slots = found.iter().filter(|trace| trace.starts_with("slot")).count();
            let devices = found.iter().filter(|trace| trace.starts_with("guarded")).count();
            if strange.is_empty() && slots == pods.len() && devices == pods.len() {
                return Ok(());
            }
            if !looks.again() {
                bail!("left over beside {} pods: {found:?}", pods.len());
            }
        }
    }
}

/// A pod to be, of this namespace.
#[must_use]
pub fn spec(namespace: &str) -> PodSpec {
    PodSpec { namespace: namespace.to_owned(), ..PodSpec::new(namespace) }
}

/// A container that runs one command after another.
#[derive(Debug)]
pub struct Shell(Container);

impl Shell {
    /// Runs `script`, which must end with code 0; what it wrote.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.0.exec(&["/bin/sh", "-c", script])?;
        ensure!(output.code == 0, "{script}: {}", output.describe());
        Ok(output.stdout)
    }

    /// An act of `deluge` to its end, bounded to `limit`.
    pub fn deluge(&self, act: &str, number: u32, words: &[&str]) -> Result<Done> {
        let words = words.join(" ");
        let limit = patient(LIMIT).as_millis();
        Done::parse(&self.run(&format!("deluge {act} {limit} {number} {words}"))?)
    }
}
