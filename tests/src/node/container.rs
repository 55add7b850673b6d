//! Containers of a pod: created, started, waited for, looked into and restarted over CRI.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use containerd_client::services::v1::snapshots::MountsRequest;
use containerd_client::services::v1::{
    CreateTaskRequest, DeleteTaskRequest, GetContainerRequest, KillRequest, StartRequest,
    WaitRequest,
};
use k8s_cri::v1::{
    Capability, ContainerConfig, ContainerMetadata, ContainerState, ContainerStatusRequest,
    ContainerStatusResponse, CreateContainerRequest, ExecSyncRequest, ImageSpec, KeyValue,
    LinuxContainerConfig, LinuxContainerSecurityContext, Mount, NamespaceMode, NamespaceOption,
    RemoveContainerRequest, StartContainerRequest, StopContainerRequest,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use tonic::{Code, Request};

use super::image::Image;
use super::pod::{Pod, kubelet_labels};
use super::{Inner, NAMESPACE};
use crate::exec::{DEFAULT_LIMIT, Output};
use crate::looks::Looks;
use crate::vm::patient;

/// The longest deadline that a barrier takes.
const LONGEST_DEADLINE: Duration = Duration::from_secs(170);

/// A container to be.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Its name in the pod.
    pub name: String,
    /// The image's reference.
    pub image: String,
    /// Program and arguments; empty for the image's own.
    pub command: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Folders and files of the node: source, target, whether it is read-only.
    pub mounts: Vec<(PathBuf, String, bool)>,
    /// Whether it has every capability, every device and the node's cgroups.
    pub privileged: bool,
    /// Capabilities beyond containerd's default ones, such as `NET_ADMIN`.
    pub capabilities: Vec<String>,
    /// Capabilities that are taken away.
    pub dropped_capabilities: Vec<String>,
    /// The user that it runs as.
    pub user: Option<i64>,
}

impl ContainerSpec {
    /// A container `name` of `image` that runs the image's command.
    #[must_use]
    pub fn new(name: &str, image: &Image) -> Self {
        Self {
            name: name.to_owned(),
            image: image.reference().to_owned(),
            command: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            privileged: false,
            capabilities: Vec::new(),
            dropped_capabilities: Vec::new(),
            user: None,
        }
    }

    /// The barrier of the pod with this UID, of an image that has it as `/bin/weir-initc`: gives up after `deadline`, or as
    /// late as it can in a machine that is emulated.
    #[must_use]
    pub fn barrier(image: &Image, pod_uid: &str, deadline: Duration) -> Self {
        let deadline = patient(deadline).min(LONGEST_DEADLINE);
        Self::new("weir-initc", image)
            .command(&["/bin/weir-initc"])
            .env("WEIR_POD_UID", pod_uid)
            .env("WEIR_DEADLINE", &format!("{}s", deadline.as_secs()))
    }

    /// Sets program and arguments.
    #[must_use]
    pub fn command<S: AsRef<str>>(mut self, argv: &[S]) -> Self {
        self.command = argv.iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Runs `script` by the image's shell.
    #[must_use]
    pub fn shell(self, script: &str) -> Self {
        self.command(&["/bin/sh", "-c", script])
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Mounts `source` of the node at `target`.
    #[must_use]
    pub fn mount(mut self, source: impl Into<PathBuf>, target: &str) -> Self {
        self.mounts.push((source.into(), target.to_owned(), false));
        self
    }

    /// Gives it every capability, every device and the node's cgroups; its pod must be privileged too.
    #[must_use]
    pub fn privileged(mut self) -> Self {
        self.privileged = true;
        self
    }

    fn config(&self, pod: &Pod, attempt: u32) -> ContainerConfig {
        let network = if pod.spec.host_network { NamespaceMode::Node } else { NamespaceMode::Pod };
        let namespaces = NamespaceOption {
            network: network.into(),
            pid: NamespaceMode::Container.into(),
            ipc: NamespaceMode::Pod.into(),
            ..NamespaceOption::default()
        };
        let security = LinuxContainerSecurityContext {
            capabilities: Some(Capability {
                add_capabilities: self.capabilities.clone(),
                drop_capabilities: self.dropped_capabilities.clone(),
                ..Capability::default()
            }),
            privileged: self.privileged,
            namespace_options: Some(namespaces),
            run_as_user: self.user.map(|value| k8s_cri::v1::Int64Value { value }),
            ..LinuxContainerSecurityContext::default()
        };
        let mounts = self.mounts.iter().map(|(source, target, readonly)| Mount {
            container_path: target.clone(),
            host_path: source.to_string_lossy().into_owned(),
            readonly: *readonly,
            ..Mount::default()
        });
        let envs = self.env.iter();
        let envs = envs.map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() });
        let mut labels = HashMap::from(kubelet_labels(&pod.spec));
        labels.insert("io.kubernetes.container.name".to_owned(), self.name.clone());
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: self.name.clone(), attempt }),
            image: Some(ImageSpec { image: self.image.clone(), ..ImageSpec::default() }),
            command: self.command.clone(),
            envs: envs.collect(),
            mounts: mounts.collect(),
            labels,
            annotations: HashMap::from([(
                "io.kubernetes.container.restartCount".to_owned(),
                attempt.to_string(),
            )]),
            log_path: format!("{}_{attempt}.log", self.name),
            linux: Some(LinuxContainerConfig {
                security_context: Some(security),
                ..LinuxContainerConfig::default()
            }),
            ..ContainerConfig::default()
        }
    }
}

/// A container. Nothing happens on drop: it goes with its pod.
#[derive(Debug)]
pub struct Container {
    node: std::sync::Arc<Inner>,
    spec: ContainerSpec,
    id: String,
    attempt: u32,
    log: PathBuf,
}

impl Container {
    pub(super) fn create(pod: &Pod, spec: ContainerSpec, attempt: u32) -> Result<Self> {
        let config = spec.config(pod, attempt);
        let log = Path::new(&pod.config.log_directory).join(&config.log_path);
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let node = pod.node.clone();
        let what = format!("creating the container {}", spec.name);
        let mut service = node.cri.pods()?;
        let id = node.cri.call(&what, service.create_container(request))?.container_id;
        Ok(Self { node, spec, id, attempt, log })
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many containers of this name the pod had before.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Starts what [`Pod::create`] made.
    pub fn start(&self) -> Result<()> {
        let request = StartContainerRequest { container_id: self.id.clone() };
        let what = format!("starting the container {}", self.spec.name);
        self.node.cri.call(&what, self.node.cri.pods()?.start_container(request))?;
        Ok(())
    }

    /// Makes its process, which waits in the container for [`Self::begin`]: the first half of a start, past CRI.
    /// Its output goes nowhere.
    pub fn make_task(&self) -> Result<()> {
        let cri = &self.node.cri;
        let mut containers = cri.containers()?;
        let asked = namespaced(GetContainerRequest { id: self.id.clone() })?;
        let answer = cri.call("asking for a container", containers.get(asked))?;
        let stored = answer.container.context("no container")?;
        let (snapshotter, key) = (stored.snapshotter, stored.snapshot_key);
        let asked = namespaced(MountsRequest { snapshotter, key })?;
        let rootfs = cri.call("asking for mounts", cri.snapshots()?.mounts(asked))?.mounts;
        let id = self.id.clone();
        let asked = CreateTaskRequest { container_id: id, rootfs, ..CreateTaskRequest::default() };
        cri.call("making a task", cri.tasks()?.create(namespaced(asked)?))?;
        Ok(())
    }

    /// Lets the process of [`Self::make_task`] run.
    pub fn begin(&self) -> Result<()> {
        let asked = StartRequest { container_id: self.id.clone(), exec_id: String::new() };
        let cri = &self.node.cri;
        cri.call("starting a task", cri.tasks()?.start(namespaced(asked)?))?;
        Ok(())
    }

    /// Kills the process of [`Self::make_task`] and takes it away, as CRI does not know of it.
    pub fn end_task(&self) -> Result<()> {
        let (cri, mut tasks) = (&self.node.cri, self.node.cri.tasks()?);
        let (id, signal) = (&self.id, Signal::SIGKILL as u32);
        let asked = KillRequest { container_id: id.clone(), signal, ..KillRequest::default() };
        cri.call("killing a task", tasks.kill(namespaced(asked)?))?;
        let asked = WaitRequest { container_id: id.clone(), exec_id: String::new() };
        cri.call("waiting for a task", tasks.wait(namespaced(asked)?))?;
        let asked = DeleteTaskRequest { container_id: id.clone() };
        cri.call("deleting a task", tasks.delete(namespaced(asked)?))?;
        Ok(())
    }

    /// The process it runs.
    pub fn pid(&self) -> Result<i32> {
        let status = self.status()?;
        let info: Value = serde_json::from_str(status.info.get("info").context("no info")?)?;
        let pid = info.pointer("/pid").and_then(Value::as_i64).context("no pid: is it running?")?;
        Ok(i32::try_from(pid)?)
    }

    /// Waits for its end and returns the exit code; its log is complete then.
    pub fn wait(&self, limit: Duration) -> Result<i32> {
        let wait = WaitRequest { container_id: self.id.clone(), exec_id: String::new() };
        let wait = namespaced(wait)?;
        let mut tasks = self.node.cri.tasks()?;
        let ended = self.node.cri.attempt(patient(limit), tasks.wait(wait));
        match ended.with_context(|| format!("{} runs on:\n{}", self.spec.name, self.described()))? {
            Ok(_) => {}
            // CRI has taken the task away already, or did while this waited: containerd 1.6 closes the task's
            // connection to its shim then, whoever has a question under way.
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) if status.message().starts_with("ttrpc: closed") => {}
            Err(status) => bail!("waiting for {}: {}", self.spec.name, status.message()),
        }
        // CRI notes the end when it has drained the log, and tells nobody: a kubelet looks, too.
        let looks = Looks::within(limit);
        loop {
            let status = self.status()?.status.context("a container without a status")?;
            if status.state() == ContainerState::ContainerExited {
                return Ok(status.exit_code);
            }
            ensure!(looks.again(), "CRI does not note the end of {}", self.spec.name);
        }
    }

    /// Waits for its end, which must come with exit code `code`; returns what it wrote.
    pub fn expect(&self, code: i32) -> Result<String> {
        let found = self.wait(DEFAULT_LIMIT)?;
        let text = self.logs()?;
        ensure!(found == code, "{}: expected {code}, got {found}:\n{text}", self.spec.name);
        Ok(text)
    }

    /// What it has written so far to standard output and standard error.
    pub fn logs(&self) -> Result<String> {
        let path = self.node.view.path(&self.log);
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut said = String::new();
        for line in text.lines() {
            // `TIME STREAM TAG CONTENT`; the tag is F for a whole line and P for a part of one.
            let mut fields = line.splitn(4, ' ');
            let tag = fields.nth(2).context("a log line without a tag")?;
            said.push_str(fields.next().unwrap_or_default());
            if tag == "F" {
                said.push('\n');
            }
        }
        Ok(said)
    }

    /// Runs `argv` in it to its end.
    pub fn exec<S: AsRef<str>>(&self, argv: &[S]) -> Result<Output> {
        let started = Instant::now();
        let request = ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: argv.iter().map(|word| word.as_ref().to_owned()).collect(),
            timeout: i64::try_from(patient(DEFAULT_LIMIT).as_secs())?,
        };
        let what = format!("running a command in {}", self.spec.name);
        let done = self.node.cri.call(&what, self.node.cri.pods()?.exec_sync(request))?;
        Ok(Output {
            code: done.exit_code,
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
            elapsed: started.elapsed(),
        })
    }

    /// Asks it to end by SIGTERM and, after `grace` seconds, kills it.
    pub fn stop(&self, grace: i64) -> Result<()> {
        let request = StopContainerRequest { container_id: self.id.clone(), timeout: grace };
        let what = format!("stopping the container {}", self.spec.name);
        self.node.cri.call(&what, self.node.cri.pods()?.stop_container(request))?;
        Ok(())
    }

    /// Removes it, killing it if it runs, and its log, as a kubelet does: the next container of the name would
    /// write on in it.
    pub fn remove(self) -> Result<()> {
        let request = RemoveContainerRequest { container_id: self.id.clone() };
        let what = format!("removing the container {}", self.spec.name);
        self.node.cri.call(&what, self.node.cri.pods()?.remove_container(request))?;
        let log = self.node.view.path(&self.log);
        fs::remove_file(&log).with_context(|| format!("removing {}", log.display()))
    }

    /// Stops it and starts the next attempt in `pod`, as a kubelet does; this one stays, ended.
    pub fn restart(&self, pod: &Pod) -> Result<Self> {
        self.stop(0)?;
        let next = Self::create(pod, self.spec.clone(), self.attempt + 1)?;
        next.start()?;
        Ok(next)
    }

    fn status(&self) -> Result<ContainerStatusResponse> {
        let request = ContainerStatusRequest { container_id: self.id.clone(), verbose: true };
        let mut service = self.node.cri.pods()?;
        self.node.cri.call("asking for a container", service.container_status(request))
    }

    fn described(&self) -> String {
        self.logs().unwrap_or_else(|error| format!("{error:#}"))
    }
}

/// A question about what CRI has made.
fn namespaced<T>(question: T) -> Result<Request<T>> {
    let mut question = Request::new(question);
    question.metadata_mut().insert("containerd-namespace", NAMESPACE.parse()?);
    Ok(question)
}
