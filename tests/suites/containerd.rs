//! The node of the lab itself, without weir: what a kubelet does works, and nothing stays.

use anyhow::{Result, ensure};
use weir_tests::lab::{Lab, addresses};
use weir_tests::node::{ContainerSpec, Image, Node, Options, PodSpec};

fn kubelets_order(options: Options) -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, options)?;
    let image = Image::busybox("job");
    node.import(&image)?;
    let pod = node.run_pod(PodSpec::new("job").label("ci.example.com/job", "7"))?;
    let first = pod.start(ContainerSpec::new("first", &image).shell("echo first; exit 3"))?;
    ensure!(first.expect(3)? == "first\n");
    let v6 = addresses::WEB[0].v6;
    let script = format!(
        "set -e; wget -q -O - http://files.example.com/; wget -q -O - 'http://[{v6}]/'; \
         nslookup -type=aaaa files.example.com"
    );
    let job = pod.start(ContainerSpec::new("build", &image).shell(&script))?;
    let said = job.expect(0)?;
    ensure!(said.matches("hello from").count() == 2, "{said}");
    ensure!(said.contains(&v6.to_string()), "{said}");
    ensure!(lab.web.requests() == 2, "{} requests", lab.web.requests());
    Ok(())
}

#[test]
fn a_job_reaches_the_internet_over_a_bridge() -> Result<()> {
    kubelets_order(Options::default())
}
