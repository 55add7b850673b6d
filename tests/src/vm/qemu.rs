//! QEMU and the daemon that serves it this machine's root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;
use crate::exec::{self, Output, Running};
use crate::lab::Netns;

/// Megabytes of a machine's memory; its writable files are in there too.
const MEMORY: u32 = 3072;
/// Where Debian puts the daemon: as a part of QEMU 7, as a program of its own later.
const DAEMONS: [&str; 2] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];
/// How long QEMU may take to end after its guest has.
const OFF_LIMIT: Duration = Duration::from_secs(20);

/// `slab_debug=F`: without a working cmpxchg16b some allocators of the kernel refuse interrupts' requests, and
/// checking makes them take locks instead.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 panic=1 loglevel=4 slab_debug=F \
     lsm=landlock,lockdown,yama,integrity,apparmor";

/// `cx16=off`: the emulation of QEMU 7 corrupts flags around cmpxchg16b, and more than one processor needs that.
/// `erms=off`: a kernel that is told of fast string instructions clears and copies memory by bytes, which the emulation
/// does one at a time; without, by words. `la57=off`: each walk of page tables is a level shorter. Both together save a
/// fifth of a case's time.
const PROCESSOR: &str = "max,cx16=off,erms=off,la57=off";

/// Whether a kernel asks BPF programs for leave, which on most has to be asked for when it boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lsm {
    /// It does.
    #[default]
    Bpf,
    /// It does not.
    None,
}

/// What a kernel is told when it boots.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether BPF is among its security modules.
    pub lsm: Lsm,
    /// More of its command line, such as `lockdown=confidentiality`.
    pub parameters: &'static str,
}

/// A running machine; ended on drop.
#[derive(Debug)]
pub(super) struct Machine {
    qemu: Running,
    _daemon: Running,
    console: PathBuf,
    output: PathBuf,
    started: Instant,
}

impl Machine {
    /// Starts a machine with `kernel` and the initial file system `archive`, its files in `folder`.
    pub(super) fn start(
        kernel: &Kernel,
        options: Options,
        network: &Netns,
        folder: &Path,
        archive: &Path,
    ) -> Result<Self> {
        let socket = folder.join("root.socket");
        fs::remove_file(&socket).ok();
        let daemon = exec::spawn_as(daemon(network, &socket)?, "virtiofsd".to_owned())?;
        let deadline = Instant::now() + Duration::from_secs(10);
        // It tells nobody when it listens, and QEMU does not try twice.
        while !socket.exists() {
            if Instant::now() > deadline {
                let said = daemon.finish(Duration::from_millis(1));
                let said = said.map_or_else(|error| format!("{error:#}"), |said| said.describe());
                bail!("virtiofsd does not listen: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (console, output) = (folder.join("console"), folder.join("output"));
        let mut qemu = enter(network, "qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-reboot", "-display", "none", "-accel", "tcg"]);
        qemu.args(["-machine", "q35,memory-backend=memory", "-m", &format!("{MEMORY}M")]);
        qemu.arg("-object");
        qemu.arg(format!("memory-backend-memfd,id=memory,size={MEMORY}M,share=on"));
        qemu.args(["-cpu", PROCESSOR, "-smp", "1"]);
        qemu.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(archive);
        let bpf = match options.lsm {
            Lsm::Bpf => ",bpf",
            Lsm::None => "",
        };
        let line = format!("{KERNEL_COMMAND_LINE}{bpf} {}", options.parameters);
        qemu.args(["-append", &line]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.args(["-chardev", "stdio,id=reports,signal=off", "-serial", "chardev:reports"]);
        qemu.arg("-serial").arg(format!("file:{}", output.display()));
        qemu.arg("-chardev").arg(format!("socket,id=root,path={}", socket.display()));
        qemu.args(["-device", "vhost-user-fs-pci,chardev=root,tag=host"]);
        qemu.args(["-netdev", "user,id=network", "-device", "virtio-net-pci,netdev=network"]);
        qemu.args(["-device", "virtio-rng-pci"]);
        let qemu = exec::spawn_as(qemu, "qemu-system-x86_64".to_owned())?;
        Ok(Self { qemu, _daemon: daemon, console, output, started: Instant::now() })
    }

    /// Whether its first process reports within `limit`.
    pub(super) fn has_booted(&self, limit: Duration) -> bool {
        self.qemu.wait_for_line(limit, |line| line.trim() == "booted").is_ok()
    }

    /// The next line that it reports; an error where none comes within `limit`, or the machine has ended.
    pub(super) fn report(&self, limit: Duration) -> Result<String> {
        self.qemu
            .wait_for_line(limit, |_| true)
            .with_context(|| format!("the machine has ended, or reported nothing for {limit:?}"))
    }

    /// Waits for the end of what runs in it; exit code and output, both streams in one.
    pub(super) fn finish(self, limit: Duration) -> Result<Output> {
        let report = self.qemu.wait_for_line(limit, |line| line.starts_with("ended "));
        let elapsed = self.started.elapsed();
        let stdout = written(&self.output);
        let report = report.with_context(|| {
            format!("the guest wrote\n{stdout}\nand its console\n{}", written(&self.console))
        })?;
        self.qemu.finish(OFF_LIMIT)?;
        let code = report.trim().rsplit(' ').next().and_then(|word| word.parse().ok());
        let code = code.with_context(|| format!("a report without a code: {report}"))?;
        Ok(Output { code, stdout, stderr: written(&self.console), elapsed })
    }

    /// Waits for QEMU to end after its guest has; what ran in it wrote.
    pub(super) fn end(self) -> Result<String> {
        self.qemu.finish(OFF_LIMIT)?;
        Ok(written(&self.output))
    }

    /// Ends it; what QEMU said and the kernel wrote, for messages.
    pub(super) fn give_up(self) -> String {
        let said = self.qemu.finish(Duration::from_millis(1));
        let said = said.map_or_else(|error| format!("{error:#}"), |output| output.describe());
        format!("{said}\n--- console\n{}", written(&self.console))
    }
}

fn written(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The daemon, serving this machine's root. Files do not change while a guest runs, so it may keep all it knows.
fn daemon(network: &Netns, socket: &Path) -> Result<Command> {
    let program = DAEMONS.into_iter().find(|path| Path::new(path).exists());
    let program = program
        .context("no virtiofsd: install qemu-system-x86 and, where there is one, virtiofsd")?;
    let mut command = enter(network, program);
    command.arg(format!("--socket-path={}", socket.display()));
    if program == DAEMONS[0] {
        // Its other sandbox would pivot from the root to the root.
        command.args(["-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"]);
        command.arg("--rlimit-nofile=0");
    } else {
        command.args(["--shared-dir=/", "--cache=always", "--sandbox=none"]);
    }
    Ok(command)
}

/// `program` in `network`, where the next lab finds it if its owner is killed.
fn enter(network: &Netns, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", network.path().display())).arg(program);
    command
}
