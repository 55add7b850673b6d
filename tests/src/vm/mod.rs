//! Virtual machines of other kernels: a program of this build runs in one, on this machine's own files.
//!
//! The machine is emulated: that needs nothing of the host, and where KVM is there it may not work. Its root is
//! this machine's, read-only, under a layer in memory that goes with it; so programs, libraries and build results
//! are at their usual places. Its network ends in a namespace of the test.
//!
//! Invariant: a machine that does not boot is started again, a few times, and then an error; whatever happens
//! after the first process is up is a result.

mod health;
mod initramfs;
mod kernel;
mod qemu;
pub mod suites;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use self::health::Taints;
use self::initramfs::Job;
pub use self::kernel::{Kernel, Series};
use self::qemu::Machine;
pub use self::qemu::{Lsm, Options};
use crate::exec::{self, DEFAULT_LIMIT, Output};
use crate::lab::{Host, Netns, own_prefix, sweep};
use crate::programs::Program;
use crate::skip::{self, Skip};

/// The address by which a guest reaches the loopback of the namespace that its machine runs in.
pub const HOST: &str = "10.0.2.2";
/// The address that a guest has, and its link.
const GUEST: &str = "10.0.2.15";
const LINK: &str = "vm0";
/// Tells a program that it runs in a guest, and where the files are that its host wrote for it.
const TOLD: &str = "WEIR_LAB_GUEST";

/// An emulated processor of a busy machine is slow; a kernel that hangs is hung for ever.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// Most time for the acts of a case.
const ACTS_LIMIT: Duration = Duration::from_secs(1500);
/// Emulation has its own faults: one boot in many hangs.
const BOOTS: u32 = 3;

/// How many times as long as on this machine everything may take where it is emulated.
const EMULATION: u32 = 6;

/// Whether a suite that starts machines is to start one of `series`: those of `short` in every test run, the others in
/// that of the whole matrix. In a guest it is what was started.
#[must_use]
pub fn starts(series: Series, short: &[Series]) -> bool {
    let everywhere = std::env::var_os("WEIR_EVERY_KERNEL").is_some();
    guest_folder().is_some() || everywhere || short.contains(&series)
}

/// In a guest: the folder that its host has prepared for it.
#[must_use]
pub fn guest_folder() -> Option<PathBuf> {
    std::env::var_os(TOLD).map(PathBuf::from)
}

/// `limit`, which is right for this machine, as it is right for the one that this runs in.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    if guest_folder().is_some() { limit * EMULATION } else { limit }
}

/// `count` repetitions where they take as long as on this machine, and as many as take that long in one that is emulated.
#[must_use]
pub fn repetitions(count: usize) -> usize {
    let times = usize::try_from(EMULATION).unwrap_or(1);
    if guest_folder().is_some() { count.div_ceil(times) } else { count }
}

/// A new folder for a machine's files; what machines of dead processes left is removed first.
pub fn folder() -> Result<TempDir> {
    sweep()?;
    Ok(tempfile::Builder::new().prefix(&own_prefix()?).tempdir()?)
}

/// In a guest: gives `host` the machine's link, by which it reaches [`HOST`].
pub fn link(host: &Host) -> Result<()> {
    let mut link = Command::new("ip");
    link.args(["link", "set", LINK, "netns", host.netns().name()]);
    exec::run(link, DEFAULT_LIMIT)?.expect_code(0)?;
    host.netns().links(&format!("addr add {GUEST}/24 dev {LINK}\nlink set {LINK} up\n"))
}

/// Runs one of many acts and tells of it, and of how long it took.
pub fn act<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let result = run();
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    eprintln!("act: {name}: {verdict} ({:.1} s)", begun.elapsed().as_secs_f64());
    result.with_context(|| format!("act: {name}"))
}

/// Runs the case `case` of this suite in a machine of `series`, where it is `acts`: its kernel must not warn meanwhile.
pub fn acts_on(
    series: Series,
    options: Options,
    case: &str,
    acts: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if guest_folder().is_some() {
        let before = Taints::now()?;
        acts()?;
        return before.none_since();
    }
    let Some(kernel) = Kernel::find(series)? else {
        return skip::record(&format!("Linux {series}"), Skip::NoKernel);
    };
    Program::compile_all()?;
    let (folder, network) = (folder()?, Netns::create("vm")?);
    let arguments = ["--exact", case, "--nocapture", "--test-threads", "1"];
    let output = run_with(&kernel, options, &network, folder.path(), &arguments, ACTS_LIMIT)?;
    ensure!(output.code == 0, "on {}: {}", kernel.version(), output.describe());
    // A guest that had found another name to run would have run nothing.
    ensure!(output.stdout.contains("1 passed"), "{}", output.describe());
    eprintln!("{}", output.stdout);
    Ok(())
}

/// Runs this very program with `arguments` in a machine with `kernel`, to its end. Its network is the loopback of
/// `network`. It finds `folder`, and its console stays there.
pub fn run_this_program(
    kernel: &Kernel,
    network: &Netns,
    folder: &Path,
    arguments: &[&str],
    limit: Duration,
) -> Result<Output> {
    run_with(kernel, Options::default(), network, folder, arguments, limit)
}

/// As [`run_this_program`], on a kernel that is told so when it boots.
pub fn run_with(
    kernel: &Kernel,
    options: Options,
    network: &Netns,
    folder: &Path,
    arguments: &[&str],
    limit: Duration,
) -> Result<Output> {
    boot(kernel, options, network, folder, arguments)?.finish(limit)
}

/// A machine in which this very program has begun to run.
fn boot(
    kernel: &Kernel,
    options: Options,
    network: &Netns,
    folder: &Path,
    arguments: &[&str],
) -> Result<Machine> {
    let program = std::env::current_exe().context("finding the running program")?;
    let mut command = vec![program.to_string_lossy().into_owned()];
    command.extend(arguments.iter().map(|&word| word.to_owned()));
    let place = std::env::current_dir()?;
    let told = [(TOLD.to_owned(), folder.to_string_lossy().into_owned())];
    let job = Job { folder: &place, command: &command, environment: &told };
    let archive = initramfs::write(folder, kernel, &job)?;
    for _ in 0..BOOTS {
        let machine = Machine::start(kernel, options, network, folder, &archive)?;
        if machine.has_booted(BOOT_LIMIT) {
            return Ok(machine);
        }
        eprintln!("{} does not boot:\n{}", kernel.version(), machine.give_up());
    }
    bail!("{} did not boot {BOOTS} times", kernel.version())
}
