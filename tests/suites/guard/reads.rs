//! Reads of credential files.

use anyhow::{Context, Result, ensure};
use weir_tests::agent::Agent;
use weir_tests::jobs::Jobs;
use weir_tests::node::{Container, Pod, PodSpec};
use weir_tests::traces;
use weir_tests::vm::act;

use super::{expect, shell};

const NPMRC: &str = "/root/.npmrc";
const AWS: &str = "/home/ci/.aws/credentials";
/// The pattern that it agrees with.
const ANY_AWS: &str = "**/.aws/credentials";
/// Renamed folders that weir keeps at one time.
const FOLDERS: usize = 4096;

pub(super) fn acts(jobs: &Jobs, agent: &Agent) -> Result<()> {
    act("reads that are told of", || told(jobs, agent))?;
    act("names that are not taken away", || kept(jobs, agent))?;
    act("more folders than are kept", || crowded(jobs, agent))?;
    act("reads of other processes", || others(jobs, agent))?;
    act("reads that are refused", || refused(jobs, agent))
}

fn pod(jobs: &Jobs, name: &str, namespace: &str) -> Result<(Pod, Container)> {
    let spec = PodSpec { namespace: namespace.to_owned(), privileged: true, ..PodSpec::new(name) };
    let pod = jobs.pod(spec)?;
    let job = pod.start(jobs.sleeper().privileged())?;
    let script = format!(
        "mkdir -p /root /home/ci/.aws /mnt/there /var/run/secrets/serviceaccount/..data1
         echo secret > {NPMRC}; echo secret > {AWS}; echo other > /root/plain
         echo secret > /var/run/secrets/serviceaccount/..data1/token
         ln -s ..data1/token /var/run/secrets/serviceaccount/token"
    );
    shell(&job, &script)?;
    Ok((pod, job))
}

/// What a pod has read so far.
struct Reads<'a> {
    agent: &'a Agent,
    job: &'a Container,
    uid: &'a str,
    count: usize,
}

impl Reads<'_> {
    /// Runs a script that reads one credential file, which must be told of by one record.
    fn told(&mut self, script: &str, comm: &str, path: &str, watched: &str) -> Result<()> {
        shell(self.job, script)?;
        self.count += 1;
        let records = self.agent.records_come(self.uid, "credential_read", self.count)?;
        ensure!(records.len() == self.count, "{script}: {records:?}");
        let last = records.last().context("no record")?;
        ensure!(last.text("/credential/path") == path, "{script}: {last}");
        ensure!(last.text("/credential/watched") == watched, "{script}: {last}");
        ensure!(last.comm() == comm && last.verdict() == "allow", "{script}: {last}");
        ensure!(last.text("/attribution") == "lsm", "{script}: {last}");
        ensure!(last.text("/container") == "build", "{script}: {last}");
        Ok(())
    }
}

/// Each way to read, under each name that a file may have.
fn told(jobs: &Jobs, agent: &Agent) -> Result<()> {
    let (pod, job) = pod(jobs, "watched", "watch")?;
    let uid = &pod.spec().uid;
    // What was written was not read, and other files are nobody's business.
    shell(&job, "cat /root/plain > /dev/null; ls -l /root /home/ci/.aws > /dev/null")?;
    let mut reads = Reads { agent, job: &job, uid, count: 0 };
    let mut told = |script: &str, comm: &str, path: &str, watched: &str| {
        reads.told(script, comm, path, watched)
    };
    told(&format!("cat {NPMRC}"), "cat", NPMRC, NPMRC)?;
    told(&format!("cp {AWS} /tmp/copy"), "cp", AWS, ANY_AWS)?;
    told(&format!("intruder read map {NPMRC}"), "intruder", NPMRC, NPMRC)?;
    told(&format!("intruder read ring {AWS}"), "intruder", AWS, ANY_AWS)?;
    told(&format!("ln -s {NPMRC} /tmp/link; cat /tmp/link"), "cat", NPMRC, NPMRC)?;
    told(&format!("ln {NPMRC} /tmp/hard; cat /tmp/hard"), "cat", NPMRC, NPMRC)?;
    let bind = format!("touch /mnt/file; mount --bind {AWS} /mnt/file; cat /mnt/file");
    told(&bind, "cat", AWS, ANY_AWS)?;
    told("mount --bind /home/ci/.aws /mnt/there; cat /mnt/there/credentials", "cat", AWS, ANY_AWS)?;
    told(&format!("mv {NPMRC} /root/renamed; cat /root/renamed"), "cat", NPMRC, NPMRC)?;
    let token = "/var/run/secrets/serviceaccount";
    let real = format!("{token}/..data1/token");
    told(&format!("cat {token}/token"), "cat", &real, "**/serviceaccount/*/token")?;
    // A folder that is renamed takes its files' paths along, and so does one above it.
    let renamed = "mkdir -p /new/.aws; echo secret > /new/.aws/credentials; mv /new/.aws /new/aws";
    told(&format!("{renamed}; cat /new/aws/credentials"), "cat", "/new/aws/credentials", ANY_AWS)?;
    let folders = "cd /new; mkdir -p serviceaccount/one serviceaccount/two
                   echo secret > serviceaccount/one/token; echo secret > serviceaccount/two/token
                   mv serviceaccount account; mv account/two other";
    let any = "**/serviceaccount/*/token";
    told(&format!("{folders}; cat account/one/token"), "cat", "/new/account/one/token", any)?;
    told("cat /new/other/token", "cat", "/new/other/token", any)?;
    // A thousand reads of one process are one record.
    told(&format!("intruder reads 1000 {AWS}"), "intruder", AWS, ANY_AWS)?;
    // Whoever gets the number of what is gone is no credential by that.
    let known = |table: &str| traces::keys(&jobs.node, table);
    // Below an overlay it is there once more, on the file system that keeps it.
    let before = known("WATCHED_FILES")?;
    let credentials = "/new/home/.aws/credentials";
    shell(
        &job,
        &format!("mkdir -p /new/home/.aws; : > {credentials}; ln {credentials} /new/hard"),
    )?;
    let linked = &known("WATCHED_FILES")? - &before;
    ensure!(!linked.is_empty(), "it has another name");
    shell(&job, &format!("rm {credentials}"))?;
    ensure!(known("WATCHED_FILES")?.is_superset(&linked), "it still has a name");
    shell(&job, "rm /new/hard")?;
    ensure!(known("WATCHED_FILES")?.is_disjoint(&linked), "it has none");
    for end in ["rmdir /new/gone", "mkdir /new/over; mv -T /new/over /new/gone"] {
        let before = known("WATCHED_FOLDERS")?;
        shell(&job, "mkdir /new/.aws; mv /new/.aws /new/gone")?;
        let renamed = &known("WATCHED_FOLDERS")? - &before;
        ensure!(!renamed.is_empty(), "it has another name");
        shell(&job, end)?;
        ensure!(known("WATCHED_FOLDERS")?.is_disjoint(&renamed), "{end}: {renamed:?}");
    }

    // A violation of the same process tree, and one of another.
    let step = format!("cat {AWS} > /dev/null; intruder swarm 1; :");
    shell(&job, &format!("sh -c '{step}'; :"))?;
    let after = agent.record_comes(uid, "violation", |event| event.comm() == "bee0")?;
    ensure!(after.value("/after_credential_read") == Some(&true.into()), "{after}");
    shell(&job, "intruder threads")?;
    let other = agent.record_comes(uid, "violation", |event| event.comm() != "bee0")?;
    ensure!(other.value("/after_credential_read").is_none(), "{other}");
    pod.remove()
}

/// A name that somebody tries to take away, or that goes to another, is not the end of a file or folder.
fn kept(jobs: &Jobs, agent: &Agent) -> Result<()> {
    let (pod, job) = pod(jobs, "kept", "watch")?;
    let mut reads = Reads { agent, job: &job, uid: &pod.spec().uid, count: 0 };
    let renamed = "mkdir -p /new/.aws; cd /new; echo secret > .aws/credentials; mv .aws kept";
    // The path is that of the first read.
    let first = "/new/kept/credentials";
    for (script, path) in [
        (format!("{renamed}; ! rmdir kept; cat kept/credentials"), first),
        ("cd /new; mkdir empty; ! mv -T empty kept; cat kept/credentials".to_owned(), first),
        ("cd /new; intruder exchange empty kept; cat empty/credentials".to_owned(), first),
        (format!("cd /tmp; mv {AWS} one; echo > two; intruder exchange one two; cat two"), AWS),
    ] {
        reads.told(&script, "cat", path, ANY_AWS)?;
    }
    pod.remove()
}

/// A pod that fills the table of renamed folders hides nothing of another pod's by that.
fn crowded(jobs: &Jobs, agent: &Agent) -> Result<()> {
    const ROUND: usize = 256;
    let (crowd, filling) = pod(jobs, "crowd", "watch")?;
    let known = || traces::keys(&jobs.node, "WATCHED_FOLDERS").map(|keys| keys.len());
    let before = known()?;
    let fill = format!("mkdir /crowd; cd /crowd; intruder folders {ROUND} .aws");
    shell(&filling, &fill)?;
    let each = known()? - before;
    ensure!(each >= ROUND, "{each} folders");
    let rest = (FOLDERS - before - each).div_ceil(each) * ROUND;
    shell(&filling, &format!("cd /crowd; intruder folders {rest} .aws"))?;
    ensure!(known()? == FOLDERS, "{} folders", known()?);
    for (namespace, renames, verdict) in [("vault", "!", "block"), ("audit", "", "audit")] {
        let (pod, job) = pod(jobs, namespace, namespace)?;
        shell(&job, &format!("{renames} mv /home/ci/.aws /tmp/aws"))?;
        let told = agent.record_comes(&pod.spec().uid, "credential_read", |_| true)?;
        ensure!(told.comm() == "mv" && told.verdict() == verdict, "{told}");
        ensure!(told.text("/credential/watched") == ANY_AWS, "{told}");
        pod.remove()?;
    }
    crowd.remove()
}

/// The environment and the memory of another process.
fn others(jobs: &Jobs, agent: &Agent) -> Result<()> {
    let (pod, job) = pod(jobs, "others", "watch")?;
    let uid = &pod.spec().uid;
    shell(&job, "cat /proc/self/environ > /dev/null; cat /proc/self/status > /dev/null")?;
    shell(&job, "cat /proc/1/environ > /dev/null")?;
    let read = agent.record_comes(uid, "credential_read", |_| true)?;
    ensure!(read.text("/credential/path") == "/proc/1/environ", "{read}");
    ensure!(read.text("/credential/watched") == "/proc/*/environ", "{read}");
    shell(&job, "head -c 0 /proc/1/mem")?;
    agent.record_comes(uid, "credential_read", |event| {
        event.text("/credential/watched") == "/proc/*/mem"
    })?;
    let records = agent.records(uid, "credential_read")?;
    ensure!(records.len() == 2, "{records:?}");
    pod.remove()
}

/// A profile that blocks, and the same in audit mode.
fn refused(jobs: &Jobs, agent: &Agent) -> Result<()> {
    for (namespace, said, verdict) in [("vault", "EPERM", "block"), ("audit", "ok", "audit")] {
        let (pod, job) = pod(jobs, namespace, namespace)?;
        expect(&job, &["read", "open", NPMRC], said)?;
        expect(&job, &["read", "open", "/root/plain"], "ok")?;
        let read = agent.record_comes(&pod.spec().uid, "credential_read", |_| true)?;
        ensure!(read.verdict() == verdict, "{read}");
        pod.remove()?;
    }
    Ok(())
}
