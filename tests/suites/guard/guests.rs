//! Processes that come to a pod from outside: no pod refuses them, and the table of all has an end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use weir_tests::jobs::Jobs;
use weir_tests::kinship::{self, Followed, KEPT};
use weir_tests::node::PodSpec;
use weir_tests::programs::Program;

/// More than there is room for, by so many.
const MORE: usize = 20;

/// Whoever finds no room may do nothing that its pod's profile alone would let it; the others are not troubled, and
/// there is room again when they are gone.
pub(super) fn acts(jobs: &Jobs) -> Result<()> {
    let pod = jobs.pod(PodSpec { namespace: "docker".to_owned(), ..PodSpec::new("guests") })?;
    let job = pod.start(jobs.sleeper())?;
    let before = Followed::now(&jobs.node)?.all;
    let room = KEPT as usize - before;
    let cgroup = pod.container_cgroup_folder(&job).join("cgroup.procs");
    let mut guests = Command::new(Program::Intruder.path()?)
        .args(["guests", &(room + MORE).to_string()])
        .arg(cgroup)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    BufReader::new(guests.stdout.take().context("no output")?).read_line(&mut said)?;
    let full = Followed::now(&jobs.node)?;
    // Ends the input, by which they end.
    ensure!(guests.wait()?.success(), "{said}");
    ensure!(
        said.trim() == format!("{room} {MORE}"),
        "{said}, with room for {room}, and {full:?} at the time"
    );
    kinship::followed(&jobs.node, before)?;
    pod.remove()
}
