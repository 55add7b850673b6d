//! A pod's search list is its own: what its resolver library tries first is no violation, and no query.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::agent::AgentSpec;
use weir_tests::lab::Lab;
use weir_tests::node::{ContainerSpec, Image, Node, Options, PodSpec};
use weir_tests::profile::Profile;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn expansions_by_the_pods_own_list_are_no_violations() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let image = Image::busybox("job").program("/usr/bin/curl", "/bin/curl");
    node.import(&image)?;
    let profile = Profile::deny_all().domains_at(&["files.example.com"], &["80"]);
    let agent = AgentSpec::default().namespace("ci", &profile.text()).start(&node)?;
    let mut spec = PodSpec::new("job");
    spec.searches = ["ci.svc.cluster.example", "svc.cluster.example"].map(str::to_owned).to_vec();
    let pod = node.run_pod(spec)?;
    agent.wait_for("took_us=")?;
    let script = "cat /etc/resolv.conf; curl -sS -m 5 http://files.example.com/; \
                  curl -sS -m 5 http://evil.example.net/; true";
    let job = pod.start(ContainerSpec::new("build", &image).shell(script))?;
    ensure!(job.wait(LIMIT)? == 0);
    let said = job.logs()?;
    ensure!(said.contains("hello from") && said.contains("svc.cluster.example"), "{said}");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    let events = agent.events()?;
    let refused: Vec<&str> = events
        .iter()
        .filter(|event| event.kind() == "violation")
        .map(weir_tests::weir::Event::host)
        .collect();
    ensure!(refused == ["evil.example.net"], "{refused:?}");
    agent.stop().map(drop)
}
