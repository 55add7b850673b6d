//! Runs the built `weir agent` on a node of the lab.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::exec::{self, DEFAULT_LIMIT, Output, Running};
use crate::lab::addresses;
use crate::looks::Looks;
use crate::node::Node;
use crate::vm::patient;
use crate::weir::{self, Event};

/// Where the agent's files are on the node.
const CONFIG: &str = "/run/weir-config/config.yaml";
const POLICY: &str = "/run/weir-config/policy";
const EVENTS: &str = "/run/weir-config/events.jsonl";

/// What an agent is to be started with.
#[derive(Clone, Debug, Default)]
pub struct AgentSpec {
    profiles: BTreeMap<String, String>,
    namespaces: BTreeMap<String, String>,
    only_watches: bool,
    lines: String,
    events: String,
}

impl AgentSpec {
    /// Where [`Self::write`] puts the configuration on the node.
    pub const CONFIG: &str = CONFIG;
    /// Where [`Self::write`] puts the profiles on the node.
    pub const POLICY: &str = POLICY;
    /// Where the agent writes its records on the node.
    pub const EVENTS: &str = EVENTS;

    /// Pods of `namespace` get this profile ([`crate::profile`]); it selects the namespace too.
    #[must_use]
    pub fn namespace(mut self, namespace: &str, profile: &str) -> Self {
        let name = format!("lab/{namespace}");
        self.profiles.insert(namespace.to_owned(), profile.replace("lab/test", &name));
        self.namespaces.insert(namespace.to_owned(), name);
        self
    }

    /// With every pod in audit mode, whatever its profile says.
    #[must_use]
    pub const fn only_watches(mut self) -> Self {
        self.only_watches = true;
        self
    }

    /// A file with a profile that nobody is given by the configuration.
    #[must_use]
    pub fn profile(mut self, file: &str, text: &str) -> Self {
        self.profiles.insert(file.to_owned(), text.to_owned());
        self
    }

    /// With more keys of `events`, as in `fileKeep: 2`.
    #[must_use]
    pub fn events(mut self, keys: &str) -> Self {
        self.events = format!(", {keys}");
        self
    }

    /// With more lines of configuration.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.lines.push_str(lines);
        self.lines.push('\n');
        self
    }

    /// Writes the configuration and the profiles to the node.
    pub fn write(&self, node: &Node) -> Result<()> {
        let policy = node.path(POLICY);
        fs::create_dir_all(&policy).context("making the folder of the profiles")?;
        for (namespace, text) in &self.profiles {
            fs::write(policy.join(format!("{namespace}.yaml")), text)
                .context("writing a profile")?;
        }
        let selected: Vec<&str> = self.namespaces.keys().map(String::as_str).collect();
        let named: Vec<String> = self
            .namespaces
            .iter()
            .map(|(namespace, profile)| format!("{namespace}: {profile}"))
            .collect();
        let mode = if self.only_watches { "audit" } else { "profiles" };
        let text = format!(
            "policy: {{ dir: {POLICY}, mode: {mode}, default: deny-all, namespaces: {{ {} }} }}\n\
             select: {{ namespaces: [{}] }}\n\
             dns: {{ upstreams: [\"{}\"] }}\n\
             events: {{ stdout: false, file: {EVENTS}{} }}\n{}",
            named.join(", "),
            selected.join(", "),
            addresses::RESOLVER.v4,
            self.events,
            self.lines,
        );
        fs::write(node.path(CONFIG), text).context("writing the agent's configuration")
    }

    /// Starts an agent on the node, and returns once it has been through all that runs there.
    pub fn start(&self, node: &Node) -> Result<Agent> {
        self.write(node)?;
        let agent = Agent::spawn(node)?;
        agent.wait_for("reconciled")?;
        Ok(agent)
    }
}

/// An agent under way. Dropped, it is killed; what it enforced stays, as it would on a real node.
#[derive(Debug)]
pub struct Agent {
    process: Running,
    events: PathBuf,
}

impl Agent {
    /// Starts an agent with what [`AgentSpec::write`] wrote, and does not wait for it.
    pub fn spawn(node: &Node) -> Result<Self> {
        Self::spawn_by(node, &[])
    }

    /// As [`Self::spawn`], with these capabilities and no other, as root has them in a container.
    pub fn spawn_with(node: &Node, capabilities: &[&str]) -> Result<Self> {
        let kept: Vec<String> =
            capabilities.iter().map(|name| format!(",+{}", name.to_lowercase())).collect();
        let bounding = format!("--bounding-set=-all{}", kept.concat());
        Self::spawn_by(node, &["setpriv", &bounding, "--no-new-privs"])
    }

    /// Runs the agent by a program that takes its command line.
    fn spawn_by(node: &Node, by: &[&str]) -> Result<Self> {
        let mut command = node.command("sh");
        // The log is read line by line from standard output; records go to their file. Few files may be open at
        // first, so that a few pods show whether the agent sees to that.
        command.args(["-c", "ulimit -S -n 256; exec \"$@\" 2>&1", "sh"]).args(by);
        command.arg(weir::binary()?).args(["agent", "--config", CONFIG]);
        command.env("WEIR_LOG", "weir=info");
        let process = exec::spawn_as(command, "weir agent".to_owned())?;
        Ok(Self { process, events: node.path(EVENTS) })
    }

    /// Waits for a line of its log that contains `text`.
    pub fn wait_for(&self, text: &str) -> Result<String> {
        self.process.wait_for_line(DEFAULT_LIMIT, |line| line.contains(text))
    }

    /// Waits until `count` more lines of its log have contained `text`.
    pub fn wait_for_many(&self, text: &str, count: usize, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + patient(limit);
        for seen in 0..count {
            let left = deadline.saturating_duration_since(Instant::now());
            self.process
                .wait_for_line(left, |line| line.contains(text))
                .with_context(|| format!("{seen} of {count} lines"))?;
        }
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> &Running {
        &self.process
    }

    /// Every record so far, each validated against the schema.
    pub fn events(&self) -> Result<Vec<Event>> {
        weir::events(&self.events)
    }

    /// The records so far of one kind of the pod with this uid: as [`Self::events`], where others write thousands.
    pub fn records(&self, uid: &str, kind: &str) -> Result<Vec<Event>> {
        let (uid, kind) = (format!("\"uid\":\"{uid}\""), format!("\"kind\":\"{kind}\""));
        weir::events_in(&self.events, |line| line.contains(&kind) && line.contains(&uid))
    }

    /// The records of one kind of a pod, once there are so many: what happened may be ahead of them.
    pub fn records_come(&self, uid: &str, kind: &str, count: usize) -> Result<Vec<Event>> {
        let looks = Looks::within(DEFAULT_LIMIT);
        loop {
            let records = self.records(uid, kind)?;
            if records.len() >= count {
                return Ok(records);
            }
            ensure!(looks.again(), "{} of {count} {kind} records", records.len());
        }
    }

    /// The first record of one kind of a pod that is `wanted`, once there is one.
    pub fn record_comes(
        &self,
        uid: &str,
        kind: &str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let looks = Looks::within(DEFAULT_LIMIT);
        loop {
            let records = self.records(uid, kind)?;
            if let Some(found) = records.iter().find(|event| wanted(event)) {
                return Ok(found.clone());
            }
            ensure!(looks.again(), "none of these {kind} records: {records:?}");
        }
    }

    /// Whether security modules hold the pod with this uid: the record of its beginning says what its kernel lacks.
    pub fn guards(&self, uid: &str) -> Result<bool> {
        let attached = self.record_comes(uid, "attach", |_| true)?;
        let lacks = attached.value("/lacks").and_then(Value::as_array);
        Ok(!lacks.is_some_and(|lacks| lacks.contains(&Value::from("lsm"))))
    }

    /// What `weir pods --json` tells on the node.
    pub fn pods(node: &Node) -> Result<Value> {
        let mut command = node.command(weir::binary()?);
        command.args(["pods", "--json"]);
        let output = exec::run(command, DEFAULT_LIMIT)?.expect_code(0)?;
        serde_json::from_str(&output.stdout).context("parsing what weir pods tells")
    }

    /// Kills it at once.
    pub fn kill(self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.finish(DEFAULT_LIMIT).map(drop)
    }

    /// Waits for its end by itself, and returns what it said.
    pub fn finish(self) -> Result<Output> {
        self.process.finish(DEFAULT_LIMIT)
    }

    /// Tells it to end, and returns what it said.
    pub fn stop(self) -> Result<Output> {
        self.process.signal(Signal::SIGTERM)?;
        let output = self.process.finish(Duration::from_secs(20))?;
        ensure!(output.code == 0, "{}", output.describe());
        Ok(output)
    }
}
