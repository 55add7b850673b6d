//! A real containerd with everything of its own: root, state, socket, mounts, processes, a cgroup.
//!
//! It lives in a process namespace whose first process is `sleep`: containerd can be killed and started
//! again while its containers go on, and all of it ends with that process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use containerd_client::Client;
use containerd_client::services::v1 as api;
use containerd_client::tonic::{Request, metadata::MetadataValue};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use weir::system::cgroup;

/// A bound on everything that waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The mounts and the process namespace of the lab.
///
/// The runtime and its shims keep their state in /run, by container id and not by containerd.
const NURSERY: &str = "mount -t tmpfs none /run && umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup \
                       && echo ready && exec sleep infinity";

/// The lab; dropping it ends and removes all of it.
pub(crate) struct Lab {
    folder: TempDir,
    nursery: Child,
    init: Pid,
    containerd: Option<(Child, Pid)>,
    /// The parent of all cgroups, relative to the root.
    cgroup: String,
}

impl Lab {
    /// Everything but containerd itself.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut nursery = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", NURSERY])
            .stdout(Stdio::piped())
            .spawn()
            .context("unshare")?;
        let stdout = nursery.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "the nursery did not begin: {line:?}");
        let init = only_child(Pid::from_raw(nursery.id().try_into()?))?;
        let cgroup = format!("weir-containerd-test-{init}");
        let lab = Self { folder, nursery, init, containerd: None, cgroup };
        let bin = lab.path("rootfs/bin");
        fs::create_dir_all(&bin)?;
        fs::create_dir(lab.path("rootfs/proc"))?;
        fs::copy("/bin/busybox", bin.join("busybox")).context("package busybox-static")?;
        symlink("busybox", bin.join("sleep"))?;
        let config = format!(
            "version = 2\nroot = '{folder}/root'\nstate = '{folder}/state'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri']\n\
             [grpc]\naddress = '{folder}/containerd.sock'\n[ttrpc]\naddress = '{folder}/ttrpc.sock'\n",
            folder = lab.folder.path().display(),
        );
        fs::write(lab.path("config.toml"), config)?;
        Ok(lab)
    }

    /// The socket that containerd will have.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts containerd and waits until it answers.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let log = fs::File::create(self.path("log"))?;
        let child = Command::new("nsenter")
            .args([
                "--target",
                &self.init.to_string(),
                "--mount",
                "--pid",
                "containerd",
                "--config",
            ])
            .arg(self.path("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("nsenter and containerd")?;
        let outer = Pid::from_raw(child.id().try_into()?);
        let answers = async {
            loop {
                if let Ok(client) = Client::from_path(self.socket()).await
                    && client.version().version(()).await.is_ok()
                {
                    return;
                }
                // A process of another namespace has no end that could be awaited; its socket has no event.
                sleep(Duration::from_millis(20)).await;
            }
        };
        let answered = timeout(PATIENCE, answers).await;
        self.containerd = Some((child, only_child(outer)?));
        answered.with_context(|| fs::read_to_string(self.path("log")).unwrap_or_default())
    }

    /// Sends containerd alone a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let (_, pid) = self.containerd.as_ref().context("containerd does not run")?;
        Ok(kill(*pid, signal)?)
    }

    /// Kills containerd; its containers go on.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        let (mut child, _) = self.containerd.take().context("containerd does not run")?;
        child.wait()?;
        Ok(())
    }

    /// Ends a process by the number that it has in the lab.
    pub(crate) fn end(&self, pid: u32) -> Result<()> {
        let status = Command::new("nsenter")
            .args(["--target", &self.init.to_string(), "--mount", "--pid"])
            .args(["kill", "-KILL", &pid.to_string()])
            .status()?;
        ensure!(status.success(), "kill {pid}: {status}");
        Ok(())
    }

    /// The parent that a kubelet would name for a pod.
    pub(crate) fn cgroup_parent(&self, uid: &str) -> String {
        format!("/{}/pod{uid}", self.cgroup)
    }

    /// Stores a container with these labels, and with CRI metadata if there is any.
    pub(crate) async fn create(
        &self,
        id: &str,
        kind: Option<&str>,
        uid: &str,
        metadata: Option<Value>,
    ) -> Result<()> {
        let spec = json!({
            "ociVersion": "1.0.2",
            "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sleep", "1000"], "cwd": "/" },
            "root": { "path": self.path("rootfs") },
            "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
            "annotations": {
                "io.kubernetes.cri.sandbox-id": "sandbox-1",
                "io.kubernetes.cri.container-name": "build",
            },
            "linux": {
                "cgroupsPath": format!("{}/{id}", self.cgroup_parent(uid)),
                "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "network" }],
            },
        });
        let mut container = api::Container { id: id.to_owned(), ..api::Container::default() };
        container
            .labels
            .extend(kind.map(|kind| ("io.cri-containerd.kind".to_owned(), kind.to_owned())));
        "io.containerd.runc.v2".clone_into(&mut container.runtime.get_or_insert_default().name);
        let stored = container.spec.get_or_insert_default();
        "types.containerd.io/opencontainers/runtime-spec/1/Spec".clone_into(&mut stored.type_url);
        stored.value = serde_json::to_vec(&spec)?;
        if let Some(metadata) = metadata {
            let key = "io.cri-containerd.sandbox.metadata".to_owned();
            let stored = container.extensions.entry(key).or_default();
            "github.com/containerd/cri/pkg/store/sandbox/Metadata".clone_into(&mut stored.type_url);
            stored.value = serde_json::to_vec(&metadata)?;
        }
        let request = request(api::CreateContainerRequest { container: Some(container) });
        self.client().await?.containers().create(request).await?;
        Ok(())
    }

    /// Starts the container's first process; its number in the lab.
    pub(crate) async fn start_task(&self, id: &str) -> Result<u32> {
        let mut tasks = self.client().await?.tasks();
        let create = api::CreateTaskRequest { container_id: id.to_owned(), ..Default::default() };
        tasks.create(request(create)).await.context("creating a task")?;
        let start = api::StartRequest { container_id: id.to_owned(), ..Default::default() };
        Ok(tasks.start(request(start)).await.context("starting a task")?.into_inner().pid)
    }

    /// Runs a process in the container that ends by itself.
    pub(crate) async fn exec(&self, id: &str) -> Result<()> {
        let mut tasks = self.client().await?.tasks();
        let process =
            json!({ "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sleep", "0"], "cwd": "/" });
        let mut exec = api::ExecProcessRequest {
            container_id: id.to_owned(),
            exec_id: "short".to_owned(),
            ..Default::default()
        };
        let spec = exec.spec.get_or_insert_default();
        "types.containerd.io/opencontainers/runtime-spec/1/Process".clone_into(&mut spec.type_url);
        spec.value = serde_json::to_vec(&process)?;
        tasks.exec(request(exec)).await.context("adding a process")?;
        let (container_id, exec_id) = (id.to_owned(), "short".to_owned());
        let start =
            api::StartRequest { container_id: container_id.clone(), exec_id: exec_id.clone() };
        tasks.start(request(start)).await.context("starting a process")?;
        tasks.wait(request(api::WaitRequest { container_id, exec_id })).await?;
        Ok(())
    }

    async fn client(&self) -> Result<Client> {
        Client::from_path(self.socket()).await.context("connecting to the lab's containerd")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // nsenter stops when containerd is stopped, and would never reap it; a namespace ends only when all
        // its processes are reaped.
        if let Some((mut nsenter, _)) = self.containerd.take() {
            nsenter.kill().unwrap_or_default();
            nsenter.wait().map(drop).unwrap_or_default();
        }
        // The first process takes all others with it.
        kill(self.init, Signal::SIGKILL).unwrap_or_default();
        self.nursery.wait().map(drop).unwrap_or_default();
        if let Ok(root) = cgroup::root() {
            let folder = root.join(&self.cgroup);
            if folder.exists() {
                cgroup::remove(&folder)
                    .unwrap_or_else(|error| eprintln!("{}: {error}", folder.display()));
            }
        }
    }
}

/// A request in the lab's namespace of containerd's.
fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static("k8s.io"));
    request
}

fn only_child(of: Pid) -> Result<Pid> {
    let path = PathBuf::from(format!("/proc/{of}/task/{of}/children"));
    let text = fs::read_to_string(&path).with_context(|| Path::display(&path).to_string())?;
    Ok(Pid::from_raw(text.trim().parse().with_context(|| format!("children of {of}: {text:?}"))?))
}
