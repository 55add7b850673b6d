//! What a node's processes see: the client's network, a cgroup tree and a `/run` of their own.
//!
//! A keeper process holds the namespaces open. It ends when the test process does, and takes the
//! node's cgroup with it, so a killed test leaves no container running. Everything that containerd, CNI
//! and runc write lies on file systems that go with the namespace.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};

use super::cgroup::Cgroup;
use crate::exec::{self, Running};
use crate::lab::Client;

/// Where the node keeps its own files, apart from those that have a usual place.
pub(super) const FOLDER: &str = "/run/node";
/// The node's own processes; pods are beside it in `/kubepods`.
const SERVICES: &str = "system.slice";

/// Joins the node's cgroup, which becomes the root of what is seen.
const JOIN: &str = "set -e
echo 0 > \"$1/cgroup.procs\"
exec unshare --mount --cgroup --propagation private busybox sh -c \"$2\" sh \"$3\"";

/// Makes the file systems, says so, and waits for its standard input to end.
///
/// The namespaces of other labs are let go of: a mount that is only hidden would keep them. Lazily, which
/// is one call for all: one by one, `umount --recursive` fails on a namespace that its lab deletes meanwhile.
///
/// On a cluster's node a pod that asks for nothing weighs next to nothing (`cpu.shares` 2), so its flood holds up neither
/// containerd nor the runtime that is to end it; with one processor for all, that decides. Where version 1 has the
/// controller nobody weighs.
///
/// busybox has all of these in itself, where thirty programs to start would take an emulated machine seconds.
const KEEP: &str = "set -e
files=$1
for folder in /sys/fs/cgroup /sys/fs/bpf /run/netns; do
  while grep -q \" $folder \" /proc/self/mountinfo; do umount -l $folder; done
done
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/system.slice
echo 0 > /sys/fs/cgroup/system.slice/cgroup.procs
if echo +cpu > /sys/fs/cgroup/cgroup.subtree_control; then
  echo 10000 > /sys/fs/cgroup/system.slice/cpu.weight
fi 2> /dev/null
mount -t bpf none /sys/fs/bpf
mount -t tmpfs -o mode=755 none /run
mkdir /run/node /run/weir /run/lock
for file in resolv.conf nsswitch.conf hosts; do
  target=/etc/$file
  while [ -L \"$target\" ]; do
    link=$(readlink \"$target\")
    case $link in /*) target=$link;; *) target=${target%/*}/$link;; esac
  done
  mkdir -p \"${target%/*}\"
  [ -e \"$target\" ] || : > \"$target\"
  mount -o bind \"$files/$file\" \"$target\"
done
echo ready
cat > /dev/null
echo 1 > /sys/fs/cgroup/cgroup.kill";

/// Joins the services' cgroup and the keeper's namespaces, then becomes the command.
const ENTER: &str = "set -e
echo 0 > \"$1/cgroup.procs\"; keeper=$2; shift 2
exec nsenter --target \"$keeper\" --mount --net --cgroup \"$@\"";

/// The held namespaces.
#[derive(Debug)]
pub(super) struct View {
    // Locked by nobody: pods of one node may be used by several threads.
    _keeper: Mutex<Running>,
    pid: i32,
    // After the keeper: it kills whatever is left.
    cgroup: Cgroup,
    environment: Vec<(String, OsString)>,
}

impl View {
    /// Makes the view of a node on the network of `client`.
    ///
    /// Programs are looked for in `first`, then where the client looks.
    pub(super) fn open(client: &Client, first: Option<&Path>) -> Result<Self> {
        let cgroup = Cgroup::create()?;
        let mut command = client.host().enter("sh");
        command.args(["-c", JOIN, "sh"]).arg(cgroup.path()).arg(KEEP).arg(client.files());
        let keeper = exec::spawn_with_input(command)?;
        if let Err(error) = keeper.wait_for_line(Duration::from_secs(10), |line| line == "ready") {
            let output = keeper.finish(Duration::from_secs(1));
            let said = output.map_or_else(|error| format!("{error:#}"), |output| output.describe());
            return Err(error.context(said).context("making a node's mount view"));
        }
        let environment = client
            .environment()
            .iter()
            .filter(|(name, _)| ["PATH", "LC_ALL"].contains(&name.as_str()))
            .map(|(name, value)| match (name.as_str(), first) {
                ("PATH", Some(first)) => {
                    let mut path = first.as_os_str().to_owned();
                    path.push(":");
                    path.push(value);
                    (name.clone(), path)
                }
                _ => (name.clone(), value.clone()),
            })
            .collect();
        let pid = keeper.pid();
        Ok(Self { _keeper: Mutex::new(keeper), pid, cgroup, environment })
    }

    /// A command that runs `program` in the view, under the pid it is started with.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER, "sh"]).arg(self.cgroup.path().join(SERVICES));
        command.arg(self.pid.to_string()).arg(program);
        command.env_clear().envs(self.environment.iter().cloned());
        command
    }

    /// The file at `inside`, an absolute path of the view, as this process can open it.
    pub(super) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid));
        let inside = inside.as_ref();
        // A link to `/run` that is followed from here would lead to this process's own.
        if let Ok(rest) = inside.strip_prefix("/var/run") {
            return root.join("run").join(rest);
        }
        root.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// The root of the view's cgroup tree, as this process sees it.
    pub(super) fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// Ends every process on the node; the view is of no use then.
    pub(super) fn close(&self) -> Result<()> {
        self.cgroup.remove()
    }

    /// Puts `bytes` at `inside`, with permissions `mode`.
    pub(super) fn write(&self, inside: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let path = self.path(inside);
        let folder = path.parent().context("a file without a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&path, bytes).with_context(|| format!("writing {inside} of a node"))?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
    }
}
