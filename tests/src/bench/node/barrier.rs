//! The barrier's own time once its pod is enforced: from the start of its process to its end.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{Row, Stage, Target, milliseconds, quantile};
use crate::exec;
use crate::node::{Pod, PodSpec};
use crate::programs;

const RUNS: usize = 100;
/// The cgroup of the runs, in the pod's.
const CGROUP: &str = "bench";

pub(super) fn rows(stage: &Stage) -> Result<Vec<Row>> {
    let pod = stage.node.run_pod(PodSpec::new("barrier"))?;
    stage.agent.wait_for("took_us=")?;
    let mut empty = Vec::new();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        // What it costs to get a process into the pod at all is taken from the same way in.
        empty.push(time(inside(stage, &pod, "true".as_ref())?)?);
        let barrier = programs::target_folder()?.join("weir-initc");
        let mut command = inside(stage, &pod, barrier.as_os_str())?;
        command.env("WEIR_POD_UID", &pod.spec().uid);
        times.push(time(command)?);
    }
    fs::remove_dir(pod.cgroup_folder().join(CGROUP)).context("removing the cgroup of the runs")?;
    pod.remove()?;
    let way_in = quantile(&mut empty, 0.5);
    let own = |part| quantile(&mut times.clone(), part) - way_in;
    Ok(vec![milliseconds("barrier's own time, p99".to_owned(), own(0.99), Target::AtMost(15.0))])
}

/// A program in the pod's cgroup and network, on the node's files.
fn inside(stage: &Stage, pod: &Pod, program: &std::ffi::OsStr) -> Result<Command> {
    let netns = pod.netns().context("a pod without a network of its own")?;
    let mut command = stage.node.command("sh");
    let script = "echo 0 > \"$0/cgroup.procs\"; exec nsenter --net=\"$1\" \"$2\"";
    let cgroup = format!("/sys/fs/cgroup{}/{CGROUP}", pod.cgroup());
    fs::create_dir_all(pod.cgroup_folder().join(CGROUP))?;
    command.args(["-c", script, &cgroup]).arg(netns).arg(program);
    Ok(command)
}

fn time(command: Command) -> Result<f64> {
    let start = Instant::now();
    exec::run(command, exec::DEFAULT_LIMIT)?.expect_code(0)?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}
