//! Network namespaces with a name on disk, so that other programs can enter them and a later process
//! can find what a killed one left.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where iproute2 keeps named namespaces.
const FOLDER: &str = "/run/netns";
/// First part of every name made here.
const PREFIX: &str = "weirlab";

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// One network namespace; deleted on drop, with every link in it.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes an empty namespace named `weirlab-PID-START-N-LABEL`, its loopback up.
    pub fn create(label: &str) -> Result<Self> {
        let [namespace] = Self::create_all([label])?;
        namespace.links("link set lo up\n")?;
        Ok(namespace)
    }

    /// Makes empty namespaces in one call, their loopbacks down.
    pub(super) fn create_all<const N: usize>(labels: [&str; N]) -> Result<[Self; N]> {
        let prefix = own_prefix()?;
        let all = labels.map(|label| {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            Self { name: format!("{prefix}{number}-{label}") }
        });
        let lines = all.iter().map(|namespace| format!("netns add {}\n", namespace.name));
        ip(&["-batch", "-"], &lines.collect::<String>())?;
        Ok(all)
    }

    /// The name under which `ip -n` and `nsenter` find it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// Moves the calling thread into this namespace for good.
    pub fn enter(&self) -> Result<()> {
        let file = File::open(self.path()).with_context(|| format!("opening {}", self.name))?;
        setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", self.name))
    }

    /// Runs one line of `ip` commands after another inside.
    pub fn links(&self, batch: &str) -> Result<()> {
        ip(&["-n", &self.name, "-batch", "-"], batch)
            .with_context(|| format!("setting up {}", self.name))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // What fails here is found and removed by the next process's sweep.
        delete(&self.path()).ok();
    }
}

/// First part of the names of everything that this process makes: `weirlab-PID-START-`.
pub(crate) fn own_prefix() -> Result<String> {
    let pid = std::process::id();
    let start = start_time(pid).context("reading this process's start time")?;
    Ok(format!("{PREFIX}-{pid}-{start}-"))
}

/// Removes what labs of dead processes left: namespaces with the processes in them, and folders.
pub(crate) fn sweep() -> Result<()> {
    for name in orphans(Path::new(FOLDER))? {
        for pid in processes_in(&Path::new(FOLDER).join(&name)).unwrap_or_default() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        // Another process may be sweeping the same name: gone is as good as deleted.
        delete(&Path::new(FOLDER).join(&name)).ok();
    }
    let temporary = std::env::temp_dir();
    for name in orphans(&temporary)? {
        fs::remove_dir_all(temporary.join(name)).ok();
    }
    Ok(())
}

/// Names in `folder` that were made here, by a process that is gone.
pub(crate) fn orphans(folder: &Path) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        if parts.next() != Some(PREFIX) {
            continue;
        }
        let owner = parts.next().and_then(|pid| pid.parse().ok());
        let start = parts.next().and_then(|start| start.parse::<u64>().ok());
        let alive = owner.and_then(start_time).is_some_and(|now| Some(now) == start);
        if !alive {
            names.push(name);
        }
    }
    Ok(names)
}

/// Pids of every process whose main thread is in the network namespace at `path`.
pub(super) fn processes_in(path: &Path) -> Result<Vec<i32>> {
    let inside = format!("net:[{}]", fs::metadata(path)?.ino());
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let link = fs::read_link(format!("/proc/{pid}/ns/net"));
        if link.is_ok_and(|link| link.as_os_str() == inside.as_str()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// Ticks since boot at which `pid` started; none when there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; what follows the last one is field 3 (proc(5)).
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// As `ip netns delete` does it, of which an emulated machine would have a dozen to start for each lab.
fn delete(file: &Path) -> Result<()> {
    let unmounted = umount2(file, MntFlags::MNT_DETACH);
    fs::remove_file(file)?;
    Ok(unmounted?)
}

/// Runs `ip` with this standard input.
fn ip(args: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting ip, of the package iproute2")?;
    child.stdin.take().context("ip without standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip: {errors}in\n{input}");
    Ok(())
}
