//! Who it was, and whom it descends from.

use anyhow::{Context, Result, ensure};
use weir_tests::agent::Agent;
use weir_tests::jobs::Jobs;
use weir_tests::node::PodSpec;

use super::expect;

pub(super) fn acts(jobs: &Jobs, agent: &Agent) -> Result<()> {
    let pod = jobs.pod(PodSpec::new("kin"))?;
    let job = pod.start(jobs.sleeper())?;
    let uid = &pod.spec().uid;
    // Each parent is gone when its child connects.
    let output = job.exec(&["/bin/sh", "-c", "/bin/intruder family 3; :"])?;
    ensure!(output.code == 0, "{}", output.describe());
    let last = agent.record_comes(uid, "violation", |event| event.comm() == "kin3")?;
    ensure!(last.ancestry() == ["sh", "intruder", "kin1", "kin2", "kin3"], "{last}");
    let digest = last.text("/process/arguments");
    let arguments = b"/bin/intruder\0family\x003\0";
    ensure!(digest == format!("fnv1a:{:016x}", fnv(arguments)), "{last}");
    // A thread is its process.
    expect(&job, &["threads"], "EPERM")?;
    agent.record_comes(uid, "violation", |event| event.ancestry() == ["intruder"])?;
    // Each lives for the time of one connect.
    expect(&job, &["swarm", "200"], "ok")?;
    agent.record_comes(uid, "violation", |event| event.comm() == "bee199")?;
    let records = agent.records(uid, "violation")?;
    for number in 0..200 {
        let name = format!("bee{number}");
        let bee = records.iter().find(|event| event.comm() == name).context(name.clone())?;
        ensure!(bee.ancestry() == ["intruder", &name], "{bee}");
        ensure!(bee.text("/process/binary") == "/bin/intruder", "{bee}");
    }
    pod.remove()
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
