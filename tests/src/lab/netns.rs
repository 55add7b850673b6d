//! Network namespaces with a name on disk, so that other programs can enter them and a later process
//! can find what a killed one left.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

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
        let pid = std::process::id();
        let start = start_time(pid).context("reading this process's start time")?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{pid}-{start}-{number}-{label}");
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.links("link set lo up\n")?;
        Ok(namespace)
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
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting ip, of the package iproute2")?;
        child.stdin.take().context("ip without standard input")?.write_all(batch.as_bytes())?;
        let output = child.wait_with_output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "setting up {}: {errors}in\n{batch}", self.name);
        Ok(())
    }

    /// The inode that `/proc/PID/ns/net` of every process inside shows.
    pub fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(fs::metadata(self.path())?.ino())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // What fails here is found and removed by the next process's sweep.
        ip(&["netns", "delete", &self.name]).ok();
    }
}

/// Deletes the namespaces of processes that are gone, and kills nothing: their processes are theirs.
pub(super) fn sweep() -> Result<()> {
    let Ok(entries) = fs::read_dir(FOLDER) else { return Ok(()) };
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
            // Another process may be sweeping the same name: gone is as good as deleted.
            ip(&["netns", "delete", &name]).ok();
        }
    }
    Ok(())
}

/// Ticks since boot at which `pid` started; none when there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; what follows the last one is field 3 (proc(5)).
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("starting ip, of iproute2")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
