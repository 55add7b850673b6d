//! Who it was, and whom it descends from: what a job does to have somebody else named, or nobody.

use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::agent::Agent;
use crate::exec::{self, DEFAULT_LIMIT};
use crate::jobs::Jobs;
use crate::lab::addresses;
use crate::metrics::Samples;
use crate::node::{Container, ContainerSpec, Node, Pod, PodSpec};
use crate::programs::Program;
use crate::vm::patient;

/// `limits.processes` of an agent with [`limits`].
pub const KEPT: u32 = 1024;
/// What one pod may have of it.
const SHARE: usize = KEPT as usize / 4;
/// How many more a job tries to have.
const MORE: usize = 40;

/// What that agent is configured with.
#[must_use]
pub fn limits() -> String {
    format!("limits: {{ processes: {KEPT} }}")
}

/// A job that connects in strange ways, in a pod that may connect to nothing.
#[derive(Debug)]
pub struct Kin<'a> {
    agent: &'a Agent,
    job: Container,
    pod: Pod,
}

impl<'a> Kin<'a> {
    /// Starts the pod, and a container in it; a privileged one may say which id a process gets.
    pub fn new(jobs: &Jobs, agent: &'a Agent, name: &str, privileged: bool) -> Result<Self> {
        let pod = jobs.pod(PodSpec { privileged, ..PodSpec::new(name) })?;
        let sleeper = reaper(jobs);
        let job = pod.start(if privileged { sleeper.privileged() } else { sleeper })?;
        Ok(Self { agent, job, pod })
    }

    /// Ends the pod.
    pub fn end(self) -> Result<()> {
        self.pod.remove()
    }

    /// Each parent is gone when its child connects.
    pub fn orphans_are_known_by_their_ancestors(&self) -> Result<()> {
        let output = self.job.exec(&["/bin/sh", "-c", "/bin/intruder family 3; :"])?;
        ensure!(output.code == 0, "{}", output.describe());
        let last = self.record("kin3")?;
        ensure!(last.ancestry() == ["sh", "intruder", "kin1", "kin2", "kin3"], "{last}");
        let arguments = b"/bin/intruder\0family\x003\0";
        ensure!(last.text("/process/arguments") == digest_of(arguments), "{last}");
        Ok(())
    }

    /// Who brings a command into the pod, as container runtimes do, is none of its ancestors: he joined the cgroup and
    /// started another there, but executed nothing.
    pub fn who_brings_a_command_is_no_ancestor(&self, node: &Node) -> Result<()> {
        let folder = self.pod.container_cgroup_folder(&self.job);
        let leaf = folder.file_name().and_then(|name| name.to_str()).context("a cgroup's name")?;
        let cgroup = format!("/sys/fs/cgroup{}/{leaf}", self.pod.cgroup());
        let mut command = node.command("sh");
        command.args(["-c", "echo 0 > \"$0/cgroup.procs\"; \"$@\"; :", &cgroup]);
        command.arg(Program::Probe.path()?);
        command.args(["tcp", &addresses::ATTACKER.v4.to_string(), "4000"]);
        exec::run(command, DEFAULT_LIMIT)?.expect_code(0)?;
        let brought = self.record("probe")?;
        ensure!(brought.ancestry() == ["probe"], "{brought}");
        Ok(())
    }

    /// A thread is its process.
    pub fn threads_are_their_process(&self) -> Result<()> {
        self.intrude(&["threads"], "EPERM")?;
        let uid = &self.pod.spec().uid;
        let is_it = |event: &crate::weir::Event| event.ancestry() == ["intruder"];
        self.agent.record_comes(uid, "violation", is_it)?;
        Ok(())
    }

    /// Each of so many processes lives for the time of one connect; they are started at that rate, where the machine can.
    /// How long they took.
    pub fn short_lives_are_named(&self, count: usize, rate: usize) -> Result<Duration> {
        let begun = Instant::now();
        self.intrude(&["swarm", &count.to_string(), &rate.to_string()], "ok")?;
        let took = begun.elapsed();
        self.record(&format!("bee{}", count - 1))?;
        let records = self.agent.records(&self.pod.spec().uid, "violation")?;
        for number in 0..count {
            let name = format!("bee{number}");
            let bee = records.iter().find(|event| event.comm() == name).context(name.clone())?;
            ensure!(bee.ancestry() == ["intruder", &name], "{bee}");
            ensure!(bee.text("/process/binary") == "/bin/intruder", "{bee}");
        }
        Ok(took)
    }

    /// One process after another has the same id, and each connects.
    pub fn ids_that_come_again_are_told_apart(&self) -> Result<()> {
        self.intrude(&["child", "first"], "EPERM")?;
        let first = self.record("first0")?.number("/process/pid");
        self.intrude(&["child", "second", &first.to_string()], "EPERM")?;
        let second = self.record("second0")?;
        ensure!(second.number("/process/pid") == first, "{second}, not {first}");
        ensure!(second.ancestry() == ["intruder", "second0"], "{second}");
        Ok(())
    }

    /// Who sends is named, whoever made the socket: a child that was born with it, and a stranger that was handed it.
    pub fn who_sends_is_named(&self) -> Result<()> {
        for (act, sender) in [("heir", "heir0"), ("handover", "taker0")] {
            self.intrude(&[act], "EPERM")?;
            let event = self.record(sender)?;
            ensure!(event.ancestry() == ["intruder", sender], "{event}");
        }
        Ok(())
    }

    /// A job that has all processes that a pod may have starts no more, where security modules are there to refuse it;
    /// elsewhere those beyond are counted, and still known by their ancestors. Whoever ends makes room: it may have as many
    /// again.
    pub fn nobody_has_more_than_a_share(&self, node: &Node) -> Result<()> {
        let uid = &self.pod.spec().uid;
        let guards = self.agent.guards(uid)?;
        // What else the container is: its init, and what is run in it.
        let (most, others) = (SHARE - 1, 8);
        for round in 1..=2 {
            let before = Followed::now(node)?;
            let said = self.act(&["brood", &(SHARE + MORE).to_string()])?;
            let (born, reason) = said.split_once(' ').context(said.clone())?;
            let born: usize = born.parse().context(said.clone())?;
            let full = Followed::now(node)?;
            if guards {
                let fit = (most - others..=most).contains(&born) && reason == "EAGAIN";
                ensure!(fit, "round {round}: {said}");
                ensure!(full.lost == before.lost, "some are not followed: {before:?}, {full:?}");
                let refused = self.record("intruder")?;
                ensure!(refused.reason() == "process_limit", "{refused}");
                ensure!(refused.proto() == "fork" && refused.verdict() == "block", "{refused}");
            } else {
                ensure!(born == SHARE + MORE && reason == "ok", "round {round}: {said}");
                let lost = full.lost - before.lost;
                ensure!((MORE..=MORE + others).contains(&lost), "{lost} of {MORE}");
                let name = format!("beyond{round}");
                self.intrude(&["child", &name], "EPERM")?;
                let beyond = self.record(&format!("{name}0"))?;
                ensure!(beyond.ancestry() == ["intruder", beyond.comm()], "{beyond}");
            }
            let share = (SHARE - others..=SHARE).contains(&full.all);
            ensure!(share, "round {round}: {} are followed, of {SHARE}", full.all);
            // Who comes from outside still finds room.
            self.kill_all()?;
            followed(node, before.all)?;
        }
        Ok(())
    }

    /// Whoever is born is followed, and whoever ends is not, also where those that are born and end at the same time
    /// preempt each other.
    pub fn nobody_is_missed_in_a_crowd(&self, node: &Node, rounds: usize) -> Result<()> {
        const PARENTS: usize = 8;
        const CHILDREN: usize = 24;
        const CROWD: usize = PARENTS * (1 + CHILDREN);
        const { assert!(CROWD + 8 < SHARE) };
        for round in 1..=rounds {
            let before = Followed::now(node)?;
            let said = self.act(&["crowd", &PARENTS.to_string(), &CHILDREN.to_string()])?;
            ensure!(said == CROWD.to_string(), "{said} of {CROWD}");
            followed(node, before.all + CROWD).with_context(|| format!("born in round {round}"))?;
            self.kill_all()?;
            followed(node, before.all).with_context(|| format!("ended in round {round}"))?;
            let lost = Followed::now(node)?.lost;
            ensure!(lost == before.lost, "{lost}, {before:?}");
        }
        Ok(())
    }

    /// A process that ended is not followed, also while nobody waits for it.
    pub fn whoever_ended_is_not_followed(&self, node: &Node) -> Result<()> {
        const COUNT: usize = 50;
        let before = Followed::now(node)?;
        self.intrude(&["unwaited", &COUNT.to_string()], "ok")?;
        if misses_some()? {
            // Of those that it misses it is told when they were waited for.
            let now = Followed::now(node)?;
            ensure!(now.all < before.all + COUNT / 2, "{before:?}, {now:?}");
        } else {
            followed(node, before.all + 1)?;
        }
        self.kill_all()?;
        followed(node, before.all)
    }

    /// Nobody has the command line of whoever executed it, also where those that execute preempt each other; a kernel
    /// that misses some knows none of theirs.
    pub fn command_lines_are_of_their_own_in_a_rush(&self, rounds: usize) -> Result<()> {
        const COUNT: usize = 100;
        for round in 0..rounds {
            self.rush(round * COUNT..(round + 1) * COUNT)?;
        }
        Ok(())
    }

    fn rush(&self, numbers: Range<usize>) -> Result<()> {
        let (count, mut missed) = (numbers.len(), 0);
        self.intrude(&["rush", &count.to_string(), &numbers.start.to_string()], "ok")?;
        for number in numbers {
            let name = format!("runner{number}");
            let runner = self.record(&name)?;
            ensure!(runner.ancestry() == ["intruder", &name], "{runner}");
            let line = format!("/bin/intruder\0runner\0{number}\0");
            match runner.text("/process/arguments") {
                "" => missed += 1,
                digest => ensure!(digest == digest_of(line.as_bytes()), "{runner}"),
            }
        }
        let most = if misses_some()? { count / 2 } else { 0 };
        ensure!(missed <= most, "{missed} of {count}");
        Ok(())
    }

    fn kill_all(&self) -> Result<()> {
        kill_all(&self.job)
    }

    fn record(&self, comm: &str) -> Result<crate::weir::Event> {
        let uid = &self.pod.spec().uid;
        self.agent.record_comes(uid, "violation", |event| event.comm() == comm)
    }

    fn intrude(&self, words: &[&str], said: &str) -> Result<()> {
        let found = self.act(words)?;
        ensure!(found == said, "{words:?}: {found}, not {said}");
        Ok(())
    }

    /// What an act said, its words with one space between.
    fn act(&self, words: &[&str]) -> Result<String> {
        let mut command = vec!["/bin/intruder"];
        command.extend(words);
        let output = self.job.exec(&command)?;
        ensure!(output.code == 0, "{words:?}: {}", output.describe());
        Ok(output.stdout.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// A container whose first process waits for all that come to be its children.
#[must_use]
pub fn reaper(jobs: &Jobs) -> ContainerSpec {
    jobs.container("build").command(&["/bin/sh", "-c", "while :; do sleep 3600; done"])
}

/// Ends all processes of a container but its first.
pub fn kill_all(container: &Container) -> Result<()> {
    container.exec(&["/bin/sh", "-c", "kill -9 -1"])?.expect_code(0)?;
    Ok(())
}

/// Waits until so many processes are followed.
pub fn followed(node: &Node, all: usize) -> Result<()> {
    let deadline = Instant::now() + patient(DEFAULT_LIMIT);
    loop {
        let now = Followed::now(node)?;
        if now.all == all {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{} are followed, of {all}", now.all);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What an agent tells of the processes that are followed.
#[derive(Debug)]
pub struct Followed {
    /// How many they are.
    pub all: usize,
    /// How many were not followed for want of room.
    pub lost: usize,
}

impl Followed {
    /// What it tells now.
    pub fn now(node: &Node) -> Result<Self> {
        let samples = Samples::of(node)?;
        // Of what all pods may have, which is an eighth less than all.
        let ratio = samples.get("weir_map_fill_ratio{map=\"processes\"}")?;
        let lost = samples.count("weir_events_lost_total{where=\"processes\"}")?;
        let all = (ratio * f64::from(KEPT - KEPT / 8)).round();
        Ok(Self { all: all.to_string().parse()?, lost: usize::try_from(lost)? })
    }
}

/// Whether this kernel preempts programs at tracepoints, and misses some meanwhile, as Linux does from 7.0 on.
pub fn misses_some() -> Result<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let (major, _) = release.split_once('.').context(release.clone())?;
    Ok(major.parse::<u32>()? >= 7)
}

/// What a record says of a command line: FNV-1a, 64 bits.
fn digest_of(line: &[u8]) -> String {
    let digest = line.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("fnv1a:{digest:016x}")
}
