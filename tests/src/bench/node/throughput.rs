//! TCP throughput of a pod with both layers against one that is not selected, by iperf3, both ends on one
//! CPU.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{FREE, Row, Stage, Target};
use crate::bench::row::median;
use crate::bench::throughput::gigabits;
use crate::exec;
use crate::node::{ContainerSpec, Image, Pod, PodSpec};

const PAIRS: usize = 7;

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
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        without.push(run(&free, &image)?);
        with.push(run(&guarded, &image)?);
    }
    guarded.remove()?;
    free.remove()?;
    Ok(vec![Row {
        name: "TCP throughput of a pod, both layers".to_owned(),
        unit: "Gbit/s",
        value: median(with),
        against: Some(("not selected", median(without))),
        target: Target::RatioAtLeast(0.95),
    }])
}

fn run(pod: &Pod, image: &Image) -> Result<f64> {
    let argv =
        ["iperf3", "-4", "-A", "0,0", "-c", "files.example.com", "-p", "5201", "-t", "2", "-J"];
    let container = pod.start(ContainerSpec::new("iperf", image).command(&argv))?;
    let report = container.expect(0)?;
    container.remove()?;
    gigabits(&report)
}
