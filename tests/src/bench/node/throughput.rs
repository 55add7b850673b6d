//! TCP throughput of a pod with both layers against one that is not selected, by iperf3: both ends on one CPU,
//! where the hooks are all that differs, and each on its own, where on a virtual machine much of the time goes
//! into waking the other.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{FREE, Row, Stage, Target};
use crate::bench::row::median;
use crate::bench::throughput::gigabits;
use crate::exec;
use crate::node::{ContainerSpec, Image, Pod, PodSpec};

const PAIRS: usize = 7;

/// CPUs of client and server as iperf3 takes them, and what is to be reached there.
const PLACES: [(&str, &str, Target); 2] =
    [("0,0", "one CPU", Target::RatioAtLeast(0.95)), ("0,1", "two CPUs", Target::Shown)];

pub(super) fn rows(stage: &Stage) -> Result<Vec<Row>> {
    let image = Image::busybox("iperf").program("/usr/bin/iperf3", "/bin/iperf3");
    stage.node.import(&image)?;
    let mut command = stage.lab.web.host().enter("iperf3");
    command.args(["--server", "--port", "5201", "--forceflush"]);
    let server = exec::spawn(command).context("starting iperf3")?;
    server.wait_for_line(Duration::from_secs(5), |line| line.contains("listening"))?;
    let guarded = stage.node.run_pod(PodSpec::new("guarded"))?;
    stage.agent.wait_for("took_us=")?;
    let free =
        stage.node.run_pod(PodSpec { namespace: FREE.to_owned(), ..PodSpec::new("free") })?;
    let mut rows = Vec::new();
    for (place, name, target) in PLACES {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            without.push(run(&free, &image, place)?);
            with.push(run(&guarded, &image, place)?);
        }
        rows.push(Row {
            name: format!("TCP throughput of a pod, both layers, {name}"),
            unit: "Gbit/s",
            value: median(with),
            against: Some(("not selected", median(without))),
            target,
        });
    }
    guarded.remove()?;
    free.remove()?;
    Ok(rows)
}

fn run(pod: &Pod, image: &Image, place: &str) -> Result<f64> {
    let argv =
        ["iperf3", "-4", "-A", place, "-c", "files.example.com", "-p", "5201", "-t", "2", "-J"];
    let container = pod.start(ContainerSpec::new("iperf", image).command(&argv))?;
    let report = container.expect(0)?;
    container.remove()?;
    gigabits(&report)
}
