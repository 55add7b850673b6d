//! Ends that nobody saw: where the kernel leaves programs out, a process must not be followed for ever for that.

use std::fs;

use anyhow::Result;
use weir_tests::agent::Agent;
use weir_tests::jobs::Jobs;
use weir_tests::kinship::{self, Followed};
use weir_tests::node::PodSpec;
use weir_tests::traces;

/// Whoever ends unseen is forgotten later. For that the agent is killed; the one after it is returned.
pub(super) fn acts(jobs: &Jobs, agent: Agent) -> Result<Agent> {
    let pod = jobs.pod(PodSpec::new("unseen"))?;
    let job = pod.start(kinship::reaper(jobs))?;
    let before = Followed::now(&jobs.node)?.all;
    job.exec(&["/bin/intruder", "brood", "50"])?.expect_code(0)?;
    kinship::followed(&jobs.node, before + 50)?;
    agent.kill()?;
    // All of them are left out: nobody has the hook now.
    let layout = traces::layout(&jobs.node)?;
    fs::remove_file(jobs.node.path(traces::PINS).join(layout).join("hooks/weir_exit"))?;
    kinship::kill_all(&job)?;
    let agent = Agent::spawn(&jobs.node)?;
    agent.wait_for("reconciled")?;
    kinship::followed(&jobs.node, before)?;
    pod.remove()?;
    Ok(agent)
}
