//! Who it was, and whom it descends from: what a job does to have somebody else named, or nobody.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::agent::Agent;
use crate::jobs::Jobs;
use crate::node::{Container, Pod, PodSpec};

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
        let sleeper = jobs.sleeper();
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
        let digest = last.text("/process/arguments");
        let arguments = b"/bin/intruder\0family\x003\0";
        ensure!(digest == format!("fnv1a:{:016x}", fnv(arguments)), "{last}");
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

    fn record(&self, comm: &str) -> Result<crate::weir::Event> {
        let uid = &self.pod.spec().uid;
        self.agent.record_comes(uid, "violation", |event| event.comm() == comm)
    }

    fn intrude(&self, words: &[&str], said: &str) -> Result<()> {
        let mut command = vec!["/bin/intruder"];
        command.extend(words);
        let output = self.job.exec(&command)?;
        ensure!(output.code == 0, "{words:?}: {}", output.describe());
        let found = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(found == said, "{words:?}: {found}, not {said}");
        Ok(())
    }
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
