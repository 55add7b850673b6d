//! A Kubernetes node without Kubernetes: a real containerd with CRI and CNI on the lab's client machine,
//! driven the way a kubelet does.
//!
//! The node has the client's network namespace, a mount namespace and a cgroup tree of its own; see
//! `view.rs`. Several nodes live side by side, each in its own [`Lab`].
//!
//! Invariant: containerd and all it writes are gone when the [`Node`] is dropped or its process ends.

mod cgroup;
mod container;
mod containerd;
mod cri;
mod docker;
mod image;
mod network;
mod pod;
mod stock;
mod view;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

pub use self::container::{Container, ContainerSpec};
use self::containerd::Limits;
use self::containerd::Process;
pub use self::containerd::{Containerd, RUNTIME, Series};
use self::cri::Cri;
pub use self::docker::{Daemon, Docker, Placement};
pub use self::image::Image;
pub use self::network::{Cni, HeldAddresses};
pub use self::pod::{CgroupNames, Pod, PodSpec};
use self::view::View;
use crate::exec::{self, DEFAULT_LIMIT};
use crate::lab::Lab;

/// containerd's namespace of everything that CRI makes.
pub const NAMESPACE: &str = "k8s.io";

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which containerd.
    pub containerd: Containerd,
    /// How pods are connected.
    pub cni: Cni,
    /// What it knows from the start, beside the image of sandboxes.
    pub images: Vec<Image>,
}

impl Default for Options {
    /// The installed containerd, a bridge, and no images.
    fn default() -> Self {
        Self { containerd: Containerd::installed(), cni: Cni::Bridge, images: Vec::new() }
    }
}

impl Options {
    /// The usual node, which knows these images.
    #[must_use]
    pub fn images(images: &[&Image]) -> Self {
        let images = images.iter().copied().cloned().collect();
        Self { images, ..Self::default() }
    }
}

/// A running node; dropping it ends everything that runs on it, also while pods of it are held.
#[derive(Debug)]
pub struct Node {
    inner: Arc<Inner>,
    scratch: PathBuf,
}

/// What pods and containers keep of their node.
#[derive(Debug)]
struct Inner {
    cri: Cri,
    containerd: Mutex<Option<Process>>,
    // Last: it ends what the others are connected to.
    view: View,
}

impl Inner {
    /// The folder of the node's cgroup `path`, as this process sees it.
    fn outer_cgroup(&self, path: &str) -> PathBuf {
        self.view.cgroup().join(path.trim_start_matches('/'))
    }
}

impl Node {
    /// Starts a node on the client machine of `lab`, which can be one node at a time; returns when pods can
    /// be run.
    pub fn start(lab: &Lab, options: &Options) -> Result<Self> {
        Self::start_with(lab, options, Limits::Dropped)
    }

    /// As [`Self::start`], with containers that get the limits they ask for: this machine must have the
    /// controllers of cgroup version 2.
    pub fn start_with_limits(lab: &Lab, options: &Options) -> Result<Self> {
        Self::start_with(lab, options, Limits::Kept)
    }

    fn start_with(lab: &Lab, options: &Options, limits: Limits) -> Result<Self> {
        let view = View::open(&lab.client, options.containerd.folder().as_deref())?;
        network::set_up(&view, &lab.client, options.cni)?;
        containerd::configure(&view, limits)?;
        let inner = Inner { cri: Cri::new()?, containerd: Mutex::new(None), view };
        let node = Self { inner: Arc::new(inner), scratch: lab.folder().to_path_buf() };
        node.start_stocked(options)?;
        Ok(node)
    }

    /// Starts containerd for the first time, with the images that the node is to know.
    fn start_stocked(&self, options: &Options) -> Result<()> {
        let pause = Image::pause();
        let images: Vec<&Image> = std::iter::once(&pause).chain(&options.images).collect();
        let stock = containerd::stock(&options.containerd, &images)?;
        let root = self.path(containerd::ROOT);
        let is_known = stock.fill(&root)?;
        self.start_containerd()?;
        if is_known {
            return images
                .iter()
                .try_for_each(|image| self.inner.cri.wait_for_image(image.reference()));
        }
        images.iter().try_for_each(|image| self.import(image))?;
        self.stop_containerd()?;
        stock.keep(&root)?;
        self.start_containerd()
    }

    /// A command that runs `program` on the node: in its network, mounts and cgroups, under the pid it is
    /// started with. An agent on the node finds containerd and its own folders in the usual places.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.inner.view.command(program)
    }

    /// The socket of containerd and CRI, as this process can open it; on the node it is
    /// `/run/containerd/containerd.sock`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path(containerd::SOCKET)
    }

    /// The file at `inside`, an absolute path on the node, as this process can open it.
    #[must_use]
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.inner.view.path(inside)
    }

    /// The root of the node's cgroups, as this process sees it; on the node it is `/sys/fs/cgroup`.
    #[must_use]
    pub fn cgroup_root(&self) -> &Path {
        self.inner.view.cgroup()
    }

    /// Everything that containerd has logged, for messages.
    #[must_use]
    pub fn containerd_log(&self) -> String {
        containerd::log(&self.inner.view)
    }

    /// The process id of containerd; none while it is stopped.
    #[must_use]
    pub fn containerd_pid(&self) -> Option<i32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Makes `image` known to the node.
    pub fn import(&self, image: &Image) -> Result<()> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        self.import_written(image, &image.write(folder.path())?)
    }

    /// Makes `image` known to the node, from the archive that [`Image::write`] has left somewhere.
    pub fn import_written(&self, image: &Image, archive: &Path) -> Result<()> {
        let mut ctr = self.command("ctr");
        ctr.args(["--namespace", NAMESPACE, "images", "import"]).arg(archive);
        let output = exec::run(ctr, DEFAULT_LIMIT)?;
        ensure!(output.code == 0, "importing {}: {}", image.reference(), output.describe());
        self.inner.cri.wait_for_image(image.reference())
    }

    /// Lets no pod have an address until what this returns is dropped.
    pub fn hold_addresses(&self) -> Result<HeldAddresses> {
        network::hold_addresses(&self.inner.view)
    }

    /// Runs the sandbox of a pod, without containers.
    pub fn run_pod(&self, spec: PodSpec) -> Result<Pod> {
        Pod::run(&self.inner, spec)
    }

    /// Ends containerd. Pods run on.
    pub fn stop_containerd(&self) -> Result<()> {
        let process = self.process().take().context("containerd is stopped already")?;
        self.inner.cri.disconnect();
        process.stop()
    }

    /// Kills containerd. Pods run on.
    pub fn kill_containerd(&self) -> Result<()> {
        let process = self.process().take().context("containerd is stopped already")?;
        self.inner.cri.disconnect();
        process.kill()
    }

    /// Starts containerd, which finds the pods that run; returns when it is ready.
    pub fn start_containerd(&self) -> Result<()> {
        let mut slot = self.process();
        ensure!(slot.is_none(), "containerd runs already");
        let process = slot.insert(Process::start(&self.inner.view)?);
        let ready = self.inner.cri.connect(&self.socket(), || process.check(&self.inner.view));
        ready.with_context(|| format!("starting containerd:\n{}", self.containerd_log()))
    }

    /// Ends containerd and starts it again.
    pub fn restart_containerd(&self) -> Result<()> {
        self.stop_containerd()?;
        self.start_containerd()
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.inner.containerd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.inner.cri.disconnect();
        // What fails here is found and removed by the next node's sweep.
        self.inner.view.close().ok();
    }
}
