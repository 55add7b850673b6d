//! The policy folder of an agent: who gets which profile, and what happens when the folder changes, well or badly.

use std::fs;
use std::iter;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::Signal;
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::download::Download;
use weir_tests::exec;
use weir_tests::jobs::{Jobs, LIMIT, fetch, silent};
use weir_tests::lab::addresses;
use weir_tests::node::{Container, Node, Pod, PodSpec};
use weir_tests::profile::Profile;
use weir_tests::traces;
use weir_tests::vm::{patient, repetitions};
use weir_tests::weir::Event;

/// What the profiles allow, at port 80.
const FILES: &str = "files.example.com";
const MIRROR: &str = "mirror.example.com";

/// The project of the runner's pods here, a label that no job can set.
const PROJECT: (&str, &str) = ("project.runner.gitlab.com/id", "42");

/// A profile with this name that allows `names`, with more lines of `spec`.
fn profile(name: &str, names: &[&str], spec: &str) -> String {
    let profile = match names {
        [] => Profile::deny_all(),
        names => Profile::deny_all().domains_at(names, &["80"]),
    };
    profile.spec(spec).text().replace("lab/test", name)
}

/// A folder of profiles as it stands on the node.
struct Folder<'n>(&'n Node);

impl Folder<'_> {
    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path(AgentSpec::POLICY).join(file)
    }

    /// Puts a file in place in one step.
    fn put(&self, file: &str, text: &str) -> Result<()> {
        let new = self.path(".new");
        fs::write(&new, text)?;
        fs::rename(&new, self.path(file)).with_context(|| format!("replacing {file}"))
    }

    fn remove(&self, file: &str) -> Result<()> {
        fs::remove_file(self.path(file)).with_context(|| format!("removing {file}"))
    }

    /// Makes it a folder of these files and no others, from one moment to the next: an agent on a busy machine looks
    /// between any two steps.
    fn exchange(&self, files: &[(&str, &str)]) -> Result<()> {
        let folder = self.0.path(AgentSpec::POLICY);
        let new = folder.with_extension("new");
        fs::create_dir(&new)?;
        for (file, text) in files {
            fs::write(new.join(file), text)?;
        }
        renameat2(AT_FDCWD, &new, AT_FDCWD, &folder, RenameFlags::RENAME_EXCHANGE)
            .context("exchanging the folder")?;
        fs::remove_dir_all(new).context("removing the folder that was exchanged")
    }
}

/// The records about policies, each with its error.
fn policy_records(agent: &Agent) -> Result<Vec<(Event, String)>> {
    let events = agent.events()?.into_iter().filter(|event| event.kind() == "policy");
    Ok(events.map(|event| (event.clone(), event.text("/error").to_owned())).collect())
}

/// The latest record about policies, once it is one that tells this: the log may be ahead of the records.
fn last_record(agent: &Agent, tells: impl Fn(&str) -> bool) -> Result<Event> {
    let deadline = Instant::now() + patient(LIMIT);
    loop {
        let (event, error) = policy_records(agent)?.pop().context("no record")?;
        if tells(&error) {
            return Ok(event);
        }
        ensure!(Instant::now() < deadline, "{event}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `/readyz` says on the node, with its status.
fn readyz(node: &Node) -> Result<String> {
    let mut command = node.command("curl");
    command.args(["-sS", "-m", "5", "-w", " %{http_code}", "http://127.0.0.1:9411/readyz"]);
    Ok(exec::run(command, LIMIT)?.expect_code(0)?.stdout.trim_end().to_owned())
}

/// A job that connects to an allowed name again and again until it is told to end, and counts.
struct Visitor {
    container: Container,
}

impl Visitor {
    fn begin(jobs: &Jobs, pod: &Pod, name: &str) -> Result<Self> {
        let ask = format!("client udp {} 53 {name} 80", addresses::RESOLVER.v4);
        let script = format!(
            "good=0; bad=0; while [ ! -e /tmp/end ]; do \
             if {ask} >/tmp/said 2>&1; then good=$((good+1)); else bad=$((bad+1)); cat /tmp/said; fi; done; \
             echo \"visits $good $bad\""
        );
        Ok(Self { container: pod.start(jobs.container("visitor").shell(&script))? })
    }

    /// How many visits came through and how many did not.
    fn end(self) -> Result<(u64, u64)> {
        fs::write(format!("/proc/{}/root/tmp/end", self.container.pid()?), "")?;
        let code = self.container.wait(LIMIT)?;
        let said = self.container.logs()?;
        ensure!(code == 0, "{said}");
        let line = said.lines().find_map(|line| line.strip_prefix("visits "));
        let (good, bad) = line.and_then(|line| line.split_once(' ')).context(said.clone())?;
        let (good, bad): (u64, u64) = (good.parse()?, bad.trim().parse()?);
        ensure!(bad == 0, "{good} visits came through, {bad} did not: {said}");
        Ok((good, bad))
    }
}

#[test]
fn a_pod_gets_the_profile_of_its_project_and_not_that_of_its_namespace() -> Result<()> {
    let jobs = Jobs::new()?;
    let select = "  select: { gitlab: { projectId: 42 }, namespaces: [ci] }";
    let agent = Jobs::allowing(&[FILES])
        .profile("project", &profile("payments", &[MIRROR], select))
        .start(&jobs.node)?;
    let (label, id) = PROJECT;
    let ours = jobs.pod(PodSpec::new("ours").label(label, id))?;
    let others = jobs.pod(PodSpec::new("others").label(label, "43"))?;
    for (pod, allowed, refused, scope) in
        [(&ours, MIRROR, FILES, "project"), (&others, FILES, MIRROR, "namespace")]
    {
        let build = pod.start(jobs.sleeper())?;
        ensure!(fetch(&build, allowed)? == 0, "{scope}: {allowed} is not reached");
        ensure!(fetch(&build, refused)? == 4, "{scope}: {refused} is not refused");
        let refusals = agent.records(&pod.spec().uid, "violation")?;
        let event = refusals.first().context("no record")?;
        ensure!(event.text("/policy/scope") == scope, "{event}");
    }
    agent.stop().map(drop)
}

#[test]
fn what_a_job_could_have_set_selects_nothing() -> Result<()> {
    let jobs = Jobs::new()?;
    let select = "  select: { podLabels: { team: payments } }";
    let agent = Jobs::allowing(&[])
        .profile("project", &profile("payments", &[MIRROR], select))
        .start(&jobs.node)?;
    let (label, id) = PROJECT;
    let runners = PodSpec::new("runners").label(label, id).label("team", "payments");
    let runners = jobs.pod(runners)?;
    let plain = jobs.pod(PodSpec::new("plain").label("team", "payments"))?;
    let build = runners.start(jobs.sleeper())?;
    ensure!(fetch(&build, MIRROR)? == 4, "a label selects a pod of the runner's");
    ensure!(fetch(&plain.start(jobs.sleeper())?, MIRROR)? == 0, "a label selects nobody");
    agent.stop().map(drop)
}

#[test]
fn a_change_is_noticed_and_ends_what_is_no_longer_allowed() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let folder = Folder(&jobs.node);
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    let download = Download::begin(&jobs, &pod, FILES)?;
    folder.put("ci.yaml", &profile("lab/ci", &[MIRROR], ""))?;
    agent.wait_for("are in force")?;
    ensure!(download.is_cut(), "a connection that is no longer allowed goes on");
    ensure!(fetch(&build, MIRROR)? == 0, "what is allowed now is not reached");
    agent.stop().map(drop)
}

#[test]
fn a_config_map_is_followed_from_version_to_version() -> Result<()> {
    let jobs = Jobs::new()?;
    let folder = Folder(&jobs.node);
    Jobs::allowing(&[FILES]).write(&jobs.node)?;
    // As the kubelet lays it out: links through one link, which is renamed over.
    let version = |name: &str, allowed: &str| -> Result<()> {
        fs::create_dir(folder.path(name))?;
        let text = profile("lab/ci", &[allowed], "");
        fs::write(folder.path(name).join("ci.yaml"), text)?;
        symlink(name, folder.path("..data_tmp"))?;
        fs::rename(folder.path("..data_tmp"), folder.path("..data"))?;
        Ok(())
    };
    version("..1", FILES)?;
    folder.remove("ci.yaml")?;
    symlink("..data/ci.yaml", folder.path("ci.yaml"))?;
    let agent = Agent::spawn(&jobs.node)?;
    agent.wait_for("reconciled")?;
    let build = jobs.pod(PodSpec::new("stays"))?.start(jobs.sleeper())?;
    ensure!(fetch(&build, FILES)? == 0, "the first version is not in force");
    version("..2", MIRROR)?;
    agent.wait_for("are in force")?;
    ensure!(fetch(&build, MIRROR)? == 0, "the second version is not in force");
    // Half written: the link leads to a version that is not there (yet).
    fs::rename(folder.path("..2"), folder.path("..3"))?;
    agent.process().signal(Signal::SIGHUP)?;
    agent.wait_for("the policies stay as they were")?;
    ensure!(fetch(&build, MIRROR)? == 0, "half a version is in force");
    agent.stop().map(drop)
}

/// Folders in which something is wrong: what is put beside the good profile, and what is said of it.
fn faults() -> Vec<(&'static str, Vec<String>, &'static str)> {
    let one = |text: &str| vec![text.to_owned()];
    let select = "  select: { namespaces: [cd] }";
    vec![
        ("a bad file", one("apiVersion: weir.dev/v1\nkind: EgressProfile\n"), "missing field"),
        ("no YAML", one("{ \u{1b}[31m"), "bad-0.yaml:1:"),
        ("half a file", one("apiVersion: weir.dev/v1\nkind: Egre"), "missing field `metadata`"),
        ("a name twice", one(&profile("lab/ci", &[], "")), "both name their profile `lab/ci`"),
        (
            "a circle",
            vec![profile("a", &[], "  include: [b]"), profile("b", &[], "  include: [a]")],
            "include each other in a circle",
        ),
        ("an include of nobody", one(&profile("a", &[], "  include: [b]")), "includes `b`, which"),
        (
            "a selector that nobody can match",
            one(&profile("a", &[], "  select: { gitlab: { project: a/b } }")),
            "which GitLab Runner writes into annotations",
        ),
        (
            "two profiles for the same",
            vec![profile("a", &[], select), profile("b", &[], select)],
            "select the same (namespaces `cd`)",
        ),
    ]
}

#[test]
fn a_folder_with_anything_wrong_changes_nothing_and_says_why() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let folder = Folder(&jobs.node);
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    let download = Download::begin(&jobs, &pod, FILES)?;
    let (begun, _) = policy_records(&agent)?.into_iter().next().context("no record")?;
    let good = begun.text("/policy/bundle").to_owned();
    let kept = fs::read_to_string(folder.path("ci.yaml"))?;
    let kept = ("ci.yaml", kept.as_str());
    for (fault, files, expected) in faults() {
        let names = ["bad-0.yaml", "bad-1.yaml"];
        let bad = names.into_iter().zip(files.iter().map(String::as_str));
        folder.exchange(&iter::once(kept).chain(bad).collect::<Vec<_>>())?;
        agent.process().signal(Signal::SIGHUP)?;
        let line = agent.wait_for("the policies stay as they were").context(fault)?;
        ensure!(line.contains(expected), "{fault}: {line}");
        download.flows().context(fault)?;
        ensure!(fetch(&build, FILES)? == 0, "{fault}: what is allowed is not reached");
        let event = last_record(&agent, |error| error.contains(expected)).context(fault)?;
        ensure!(event.text("/policy/bundle") == good, "{fault}: {event}");
        folder.exchange(&[kept])?;
        agent.process().signal(Signal::SIGHUP)?;
        agent.wait_for("are in force").context(fault)?;
    }
    let last = last_record(&agent, str::is_empty)?;
    ensure!(last.text("/policy/bundle") == good, "{last}");
    pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
    silent(&watch)?;
    agent.stop().map(drop)
}

#[test]
fn without_usable_policies_everything_is_denied_until_there_are_some() -> Result<()> {
    let jobs = Jobs::new()?;
    let spec = Jobs::allowing(&[FILES]);
    spec.write(&jobs.node)?;
    let folder = Folder(&jobs.node);
    folder.put("bad.yaml", "kind: Pod")?;
    let agent = Agent::spawn(&jobs.node)?;
    let line = agent.wait_for("everything is denied")?;
    ensure!(line.contains("bad.yaml:1:1"), "{line}");
    agent.wait_for("reconciled")?;
    let said = readyz(&jobs.node)?;
    ensure!(said.contains("policies: everything is denied: ") && said.ends_with(" 503"), "{said}");
    let watch = jobs.watch_attacker()?;
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    ensure!(fetch(&build, FILES)? == 4, "a name resolves without a policy");
    pod.start(jobs.flood(Some(2)))?.wait(LIMIT)?;
    silent(&watch)?;
    folder.remove("bad.yaml")?;
    agent.wait_for("are in force")?;
    ensure!(fetch(&build, FILES)? == 0, "good policies do not come into force");
    let said = readyz(&jobs.node)?;
    ensure!(said.ends_with(" 200"), "{said}");
    agent.stop().map(drop)
}

#[test]
fn an_agent_beside_a_broken_folder_goes_on_with_what_the_last_one_had() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let bundle = last_record(&agent, str::is_empty)?.text("/policy/bundle").to_owned();
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let build = pod.start(jobs.sleeper())?;
    ensure!(fetch(&build, FILES)? == 0, "not reached at first");
    agent.kill()?;
    let folder = Folder(&jobs.node);
    folder.put("bad.yaml", "kind: Pod")?;

    let agent = Agent::spawn(&jobs.node)?;
    let line = agent.wait_for("those of the agent before stay in force")?;
    ensure!(line.contains("bad.yaml:1:1") && line.contains(&bundle), "{line}");
    agent.wait_for("enforced sandbox")?;
    let event = last_record(&agent, |error| error.contains("bad.yaml:1:1"))?;
    ensure!(event.text("/policy/bundle") == bundle, "{event}");
    ensure!(readyz(&jobs.node)?.ends_with(" 200"), "{}", readyz(&jobs.node)?);
    let watch = jobs.watch_attacker()?;
    let later = jobs.pod(PodSpec::new("later"))?;
    let later = later.start(jobs.sleeper())?;
    for job in [&build, &later] {
        ensure!(fetch(job, FILES)? == 0, "what was allowed is no longer");
        ensure!(fetch(job, MIRROR)? == 4, "what was never allowed is");
    }
    silent(&watch)?;

    folder.remove("bad.yaml")?;
    agent.wait_for("are in force")?;
    folder.put("ci.yaml", &profile("lab/ci", &[MIRROR], ""))?;
    agent.wait_for("are in force")?;
    // The one after it has the newest, not the oldest.
    agent.stop()?;
    folder.put("bad.yaml", "kind: Pod")?;
    let agent = Agent::spawn(&jobs.node)?;
    agent.wait_for("those of the agent before stay in force")?;
    agent.wait_for_many("enforced sandbox", 2, LIMIT)?;
    ensure!(fetch(&later, MIRROR)? == 0, "the newest are not in force");
    ensure!(fetch(&later, FILES)? == 4, "older ones are in force");
    agent.stop().map(drop)
}

/// Reloads under traffic.
const RELOADS: usize = 1000;

#[test]
fn a_thousand_reloads_let_nothing_out_and_refuse_nothing_that_stays_allowed() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    let folder = Folder(&jobs.node);
    let pod = jobs.pod(PodSpec::new("stays"))?;
    let download = Download::begin(&jobs, &pod, FILES)?;
    let visitor = Visitor::begin(&jobs, &pod, FILES)?;
    let _flood = pod.start(jobs.flood(None))?;
    let faults = faults();
    let mut bad = Vec::new();
    for round in 0..repetitions(RELOADS) {
        for at in 0..bad.len() {
            folder.remove(&format!("bad-{at}.yaml"))?;
        }
        // Others come and go beside what stays; every third time it is the folder that is wrong.
        let (files, expected) = match round % 3 {
            0 | 1 => (Vec::new(), "are in force"),
            _ => {
                let (_, files, _) = faults.get(round / 3 % faults.len()).context("no fault")?;
                (files.clone(), "the policies stay as they were")
            }
        };
        bad = files;
        for (at, text) in bad.iter().enumerate() {
            folder.put(&format!("bad-{at}.yaml"), text)?;
        }
        let grace = format!("  dns: {{ grace: {}s }}", 30 + round % 7);
        let names: &[&str] = if round % 2 == 0 { &[FILES, MIRROR] } else { &[FILES] };
        folder.put("ci.yaml", &profile("lab/ci", names, &grace))?;
        agent.process().signal(Signal::SIGHUP)?;
        agent.wait_for(expected).with_context(|| format!("reload {round}"))?;
    }
    let (visits, _) = visitor.end()?;
    ensure!(visits > repetitions(100) as u64, "only {visits} visits");
    download.flows()?;
    silent(&watch)?;
    let refused = agent.records(&pod.spec().uid, "violation")?;
    let falsely = refused.iter().find(|event| event.text("/destination/host") == FILES);
    ensure!(falsely.is_none(), "{falsely:?}");
    ensure!(!refused.is_empty(), "the flood is not told");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    traces::none(&jobs.node)
}

/// Files of a folder are read as they are: a link that leads out of it is the operator's.
#[test]
fn a_folder_that_is_replaced_is_followed() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let build = jobs.pod(PodSpec::new("stays"))?.start(jobs.sleeper())?;
    let policy = jobs.node.path(AgentSpec::POLICY);
    let old: &Path = &policy.with_extension("old");
    fs::rename(&policy, old)?;
    fs::create_dir(&policy)?;
    fs::write(policy.join("ci.yaml"), profile("lab/ci", &[MIRROR], ""))?;
    agent.wait_for("are in force")?;
    ensure!(fetch(&build, MIRROR)? == 0, "the folder in its place is not read");
    agent.stop().map(drop)
}
