//! Runs test programs: unit tests together in one process, end-to-end cases each in its own.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::binaries::Binary;
use super::summary::Summary;
use crate::shell::{self, say};

/// Most time for one end-to-end case.
const CASE_LIMIT: Duration = Duration::from_secs(240);
/// Suites whose cases are all on nodes of the lab, each with cgroups, mounts and BPF file system of its own: they run
/// beside the others, which share the machine's.
const ON_NODES: [&str; 18] = [
    "adoption",
    "agent_bad_input",
    "capabilities",
    "containerd",
    "containerd_breaks",
    "docker",
    "identity",
    "node_agent",
    "pause_process",
    "pod_shapes",
    "policies",
    "search_lists",
    "services",
    "suggest",
    "takeover",
    "tampering",
    "telemetry",
    "wire",
];
/// Suites that measure, look for what is left on the machine, or take all of it.
const ALONE: [&str; 5] = ["cleanup", "images", "neighbours", "processes", "races"];
/// Suites that emulate machines, or run what is fetched and built first: cases of minutes, each of which takes one
/// processor. They come last, those with the longest cases first.
const SLOW: [&str; 6] = ["kubelet", "guard", "bad_kernels", "kernels", "api_server", "machines"];
/// Most time for one of their cases.
const SLOW_CASE_LIMIT: Duration = Duration::from_secs(1800);
/// The one of them whose case [`PREPARATION`] fetches and builds.
const PREPARING_SUITE: &str = "kubelet";
/// Most time for all unit tests of one program.
const UNIT_LIMIT: Duration = Duration::from_secs(600);
/// Names the file to which a case appends what it skipped; the library of the suites knows it too.
const SKIPS_FILE: &str = "WEIR_SKIPS_FILE";
/// Tells suites that start machines to start those of the whole matrix; the library of the suites knows it too.
const EVERY_KERNEL: &str = "WEIR_EVERY_KERNEL";

/// Unit and property tests: libtest's own threads, counted by its closing line.
pub(super) fn run_together(binary: &Binary, summary: &mut Summary) -> Result<()> {
    let mut command = program(binary);
    command.args(["--quiet", "--format", "terse"]);
    let output = bounded(command, UNIT_LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(counts) = counts(&text) else {
        say(&text);
        say(&String::from_utf8_lossy(&output.stderr));
        summary.add_failed(&binary.name);
        return Ok(());
    };
    say(&format!("{}: {} passed, {} failed", binary.name, counts.passed, counts.failed));
    summary.add_passed(counts.passed);
    if counts.failed > 0 || counts.ignored > 0 || !output.status.success() {
        say(&text);
        say(&String::from_utf8_lossy(&output.stderr));
        for number in 0..(counts.failed + counts.ignored).max(1) {
            summary.add_failed(&format!("{} ({} of its tests)", binary.name, number + 1));
        }
    }
    Ok(())
}

/// The stages one after another; in each, lanes beside each other, of which each has so many workers.
pub(super) const STAGES: [&[usize]; 3] = [&[1, 1], &[1], &[2]];

/// Where a suite runs: the stage, the lane in it, and when it is its turn there.
pub(super) fn place(binary: &Binary) -> (usize, usize, usize) {
    let is_one_of = |names: &[&str]| names.iter().any(|name| is_suite(binary, name));
    if let Some(turn) = SLOW.iter().position(|name| is_suite(binary, name)) {
        (2, 0, turn)
    } else if is_one_of(&ALONE) {
        (1, 0, 0)
    } else {
        (0, usize::from(is_one_of(&ON_NODES)), 0)
    }
}

/// Whether a suite has a preparation.
pub(super) fn prepares(binary: &Binary) -> bool {
    is_suite(binary, PREPARING_SUITE)
}

fn is_suite(binary: &Binary, name: &str) -> bool {
    binary.name.ends_with(&format!("::{name}"))
}

/// The case that fetches and builds what the slow suites run.
const PREPARATION: &str = "what_it_runs_can_be_had";

/// A preparation under way; dropped, it is ended with all that it started.
#[derive(Debug)]
pub(super) struct Preparation(Child);

impl Drop for Preparation {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let mut kill = shell::command("kill");
        kill.args(["-KILL", "--", &group]).stderr(Stdio::null());
        // It has usually ended long ago.
        shell::run(kill).ok();
        self.0.wait().ok();
    }
}

/// Begins the preparation of the slow suites with what the other tests leave of the processors. The suites themselves
/// wait for it, by a lock of their own.
pub(super) fn prepare(binary: &Binary) -> Result<Preparation> {
    let mut command = shell::command("nice");
    command.args(["-n", "19"]).arg(&binary.path).args(["--exact", PREPARATION]);
    command.current_dir(&binary.folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = command.spawn().context("starting a preparation")?;
    Ok(Preparation(child))
}

/// An end-to-end case that is to run.
struct Planned<'a> {
    binary: &'a Binary,
    name: String,
}

/// One that has run.
struct Case {
    name: String,
    seconds: f64,
    passed: bool,
    /// What it wrote, if it failed.
    said: String,
}

/// End-to-end suites, each lane's one after another and all lanes at once, with so many `workers`.
pub(super) fn run_lanes(
    lanes: &[Vec<Binary>],
    workers: &[usize],
    skips: &Path,
    everywhere: bool,
    summary: &mut Summary,
) -> Result<()> {
    let queues = lanes.iter().map(|lane| plan(lane)).collect::<Result<Vec<_>>>()?;
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        let each = queues.iter().zip(workers);
        let each = each.flat_map(|(queue, &workers)| std::iter::repeat_n(queue, workers));
        let threads: Vec<_> = each
            .map(|queue| {
                let sender = sender.clone();
                scope.spawn(move || {
                    while let Some(case) = next(queue) {
                        // Whoever takes them is there until the last worker has ended.
                        sender.send(run_apart(&case, skips, everywhere)?).ok();
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        drop(sender);
        for Case { name, seconds, passed, said } in results {
            if passed {
                say(&format!("ok     {name} ({seconds:.1} s)"));
                summary.add_passed(1);
            } else {
                say(&format!("FAILED {name} ({seconds:.1} s)\n{said}"));
                summary.add_failed(&name);
            }
        }
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_panic| anyhow::anyhow!("a lane of suites panicked"))?
        })
    })
}

/// The cases of a lane, in their order.
fn plan(lane: &[Binary]) -> Result<Mutex<impl Iterator<Item = Planned<'_>>>> {
    let mut planned = Vec::new();
    for binary in lane {
        let mut list = program(binary);
        list.args(["--list", "--format", "terse"]);
        let names = String::from_utf8_lossy(&bounded(list, UNIT_LIMIT)?.stdout).into_owned();
        let names = names.lines().filter_map(|line| line.strip_suffix(": test"));
        planned.extend(names.map(|name| Planned { binary, name: name.to_owned() }));
    }
    Ok(Mutex::new(planned.into_iter()))
}

fn next<'a>(queue: &Mutex<impl Iterator<Item = Planned<'a>>>) -> Option<Planned<'a>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// One process for each case, so that one's namespaces and limits are nobody else's.
fn run_apart(case: &Planned<'_>, skips: &Path, everywhere: bool) -> Result<Case> {
    let Planned { binary, name } = case;
    let mut command = program(binary);
    command.args(["--exact", name, "--nocapture", "--test-threads", "1"]);
    command.env(SKIPS_FILE, skips);
    if everywhere {
        command.env(EVERY_KERNEL, "1");
    }
    let started = Instant::now();
    let is_slow = SLOW.iter().any(|name| is_suite(binary, name));
    let output = bounded(command, if is_slow { SLOW_CASE_LIMIT } else { CASE_LIMIT })?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let ran = counts(&stdout);
    let said = format!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(Case {
        name: format!("{}::{name}", binary.name),
        seconds: started.elapsed().as_secs_f64(),
        passed: output.status.success() && ran.is_some_and(|counts| counts.passed == 1),
        said,
    })
}

fn program(binary: &Binary) -> Command {
    let mut command = shell::command(&binary.path);
    command.current_dir(&binary.folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("RUST_BACKTRACE", "0");
    command
}

/// Runs to the end or to `limit`, then kills; the output says which.
fn bounded(mut command: Command, limit: Duration) -> Result<Output> {
    let label = shell::label(&command);
    let child = command.spawn().with_context(|| format!("starting {label}"))?;
    let pid = child.id().to_string();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(Child::wait_with_output(child)).ok());
    match receiver.recv_timeout(limit) {
        Ok(output) => output.with_context(|| format!("waiting for {label}")),
        Err(RecvTimeoutError::Timeout) => {
            say(&format!("{label} is killed after {limit:?}"));
            let mut kill = shell::command("kill");
            kill.args(["-KILL", &pid]);
            shell::run(kill)?;
            receiver.recv()?.with_context(|| format!("waiting for {label}"))
        }
        Err(RecvTimeoutError::Disconnected) => anyhow::bail!("lost {label}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, the last such line.
fn counts(text: &str) -> Option<Counts> {
    let line = text.lines().rev().find_map(|line| line.split_once("test result: "))?.1;
    let number = |word: &str| {
        let before = line.split_once(&format!(" {word}"))?.0;
        before.rsplit(' ').next()?.parse().ok()
    };
    Some(Counts {
        passed: number("passed")?,
        failed: number("failed")?,
        ignored: number("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Counts, counts};

    #[test]
    fn the_closing_line_is_read() {
        let text =
            "running 4 tests\n\ntest result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured\n";
        assert_eq!(counts(text), Some(Counts { passed: 2, failed: 1, ignored: 1 }));
        assert_eq!(counts("no such line"), None);
    }
}
