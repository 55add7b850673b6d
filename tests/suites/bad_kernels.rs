//! Kernels that lack or forbid something: weir works there, or says in one line why it cannot and what to do.
//!
//! As in the suite `kernels`, each case runs on this machine, where it starts a virtual machine, and in that machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use weir_tests::exec::{self, DEFAULT_LIMIT, Output};
use weir_tests::jobs::Jobs;
use weir_tests::lab::{Lab, addresses};
use weir_tests::node::PodSpec;
use weir_tests::vm::{self, Options, Series};
use weir_tests::weir;

/// What the profile allows.
const FILES: &str = "files.example.com";
/// What container runtimes and distributions with old defaults leave a process.
const LITTLE: &str = "--memlock=8388608:8388608";

/// Runs a script of the administrator's.
fn prepare(script: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]);
    exec::run(command, DEFAULT_LIMIT)?.expect_code(0).map(drop)
}

/// Runs weir behind other programs.
fn behind(others: &[&str], arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("env");
    command.args(others).arg(weir::binary()?).args(arguments);
    exec::run(command, DEFAULT_LIMIT)
}

/// `weir doctor` ends with `code`, and has a line on `subject` with all of `words` in it or behind it.
fn doctor_says(others: &[&str], code: i32, subject: &str, words: &[&str]) -> Result<()> {
    let output = behind(others, &["doctor"])?.expect_code(code)?;
    let lines: Vec<&str> = output.stdout.lines().collect();
    let at = lines.iter().position(|line| line.contains(subject));
    let at = at.with_context(|| format!("nothing on {subject}: {}", output.describe()))?;
    // What was found, what it means and what to do.
    let about = lines.iter().skip(at).take(3).copied().collect::<Vec<_>>().join("\n");
    for word in words {
        ensure!(about.contains(word), "no `{word}` in\n{about}");
    }
    Ok(())
}

/// It did not start, and said so in one line with all of `words`.
fn one_line(output: &Output, words: &[&str]) -> Result<()> {
    ensure!(output.code == 2, "{}", output.describe());
    let said: Vec<&str> = output.stderr.lines().chain(output.stdout.lines()).collect();
    let [line] = said[..] else { anyhow::bail!("not one line: {}", output.describe()) };
    for word in words {
        ensure!(line.contains(word), "no `{word}` in {line}");
    }
    Ok(())
}

/// The configuration of an agent that comes as far as the kernel.
fn configuration(folder: &Path) -> Result<String> {
    let path = folder.join("config.yaml");
    let policy = folder.join("policy");
    fs::create_dir(&policy)?;
    let (policy, events) = (policy.display(), folder.join("events").display().to_string());
    let text = format!(
        "policy: {{ dir: {policy}, mode: profiles, default: deny-all, namespaces: {{}} }}\n\
         dns: {{ upstreams: [\"{}\"] }}\nevents: {{ stdout: false, file: {events} }}\n",
        addresses::RESOLVER.v4,
    );
    fs::write(&path, text)?;
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// What `weir run` refuses, and whom it names.
fn a_run_is_held() -> Result<()> {
    let lab = Lab::new()?;
    let watch = lab.watch(lab.attacker.host())?;
    let script = format!(
        "curl -sS -m 20 http://{FILES}/; curl -sS -m 20 http://{}/",
        addresses::ATTACKER.v4
    );
    let profile = weir_tests::profile::Profile::deny_all().domains_at(&[FILES], &["80"]);
    let outcome = lab.weir().profile(&profile.text())?.run(&["sh", "-c", &script])?;
    ensure!(outcome.output.stdout.contains("hello from"), "{}", outcome.describe());
    ensure!(watch.take()?.is_empty(), "the attacker was reached");
    let refused = outcome.events.iter().find(|event| event.kind() == "violation");
    let refused = refused.with_context(|| format!("no record: {}", outcome.describe()))?;
    ensure!(refused.comm() == "curl" && refused.ancestry().len() <= 1, "{refused}");
    Ok(())
}

/// A pod's job is held back from its first instruction on.
fn a_pod_is_held() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[FILES]).start(&jobs.node)?;
    let watch = jobs.watch_attacker()?;
    jobs.refused_flood(PodSpec::new("short"))?;
    ensure!(watch.take()?.is_empty(), "the attacker was reached");
    agent.wait_for("phase=\"gone\"")?;
    let events = agent.events()?;
    let named = events.iter().find(|event| event.kind() == "violation");
    let named = named.context("no record")?;
    ensure!(named.comm() == "flood" && named.ancestry().len() <= 1, "{named}");
    agent.stop().map(drop)
}

#[test]
fn a_kernel_that_does_not_describe_its_types() -> Result<()> {
    vm::acts_on(
        Series::V6_1,
        Options::default(),
        "a_kernel_that_does_not_describe_its_types",
        || {
            prepare("mount -t tmpfs none /sys/kernel/btf")?;
            let about = ["/sys/kernel/btf/vmlinux", "No such file", "no ancestors"];
            doctor_says(&[], 1, "kernel type information", &about)?;
            a_run_is_held()?;
            a_pod_is_held()
        },
    )
}

#[test]
fn a_kernel_that_keeps_its_secrets() -> Result<()> {
    let options = Options { parameters: "lockdown=confidentiality", ..Options::default() };
    vm::acts_on(Series::V6_12, options, "a_kernel_that_keeps_its_secrets", || {
        let state = fs::read_to_string("/sys/kernel/security/lockdown")?;
        ensure!(state.contains("[confidentiality]"), "{state}");
        let about = ["lets no program read it", "no ancestors", "lockdown"];
        doctor_says(&[], 1, "kernel type information", &about)?;
        a_run_is_held()?;
        a_pod_is_held()
    })
}

#[test]
fn a_machine_without_cgroup_version_2() -> Result<()> {
    vm::acts_on(Series::V5_10, Options::default(), "a_machine_without_cgroup_version_2", || {
        prepare(
                "echo $(sed 's/^/-/;s/ / -/g' /sys/fs/cgroup/cgroup.subtree_control) > /sys/fs/cgroup/cgroup.subtree_control
                 umount -R /sys/fs/cgroup
                 mount -t tmpfs none /sys/fs/cgroup
                 mkdir /sys/fs/cgroup/memory /sys/fs/cgroup/pids
                 mount -t cgroup -o memory none /sys/fs/cgroup/memory
                 mount -t cgroup -o pids none /sys/fs/cgroup/pids",
            )?;
        let about = ["no cgroup v2 file system is mounted", "mount -t cgroup2"];
        doctor_says(&[], 2, "cgroup v2", &about)?;
        one_line(&behind(&[], &["run", "--", "true"])?, &about)?;
        let folder = tempfile::tempdir()?;
        let config = configuration(folder.path())?;
        one_line(&behind(&[], &["agent", "--config", &config])?, &about)
    })
}

#[test]
fn little_locked_memory_on_a_kernel_that_counts_by_it() -> Result<()> {
    vm::acts_on(
        Series::V5_10,
        Options::default(),
        "little_locked_memory_on_a_kernel_that_counts_by_it",
        || {
            let lab = Lab::new()?;
            let inside = format!("--net={}", lab.client.host().netns().path().display());
            let run = ["run", "--", "sh", "-c", "echo started"];
            // Whoever may raise the limit does.
            let output = behind(&["nsenter", &inside, "prlimit", LITTLE], &run)?.expect_code(0)?;
            ensure!(output.stdout.contains("started"), "{}", output.describe());
            // Whoever may not says so.
            let may_not = ["setpriv", "--bounding-set=-sys_resource"];
            let little = [&["nsenter", &inside, "prlimit", LITTLE], &may_not[..]].concat();
            let about = ["locked memory", "8192 KiB", "CAP_SYS_RESOURCE", "ulimit -l unlimited"];
            one_line(&behind(&little, &run)?, &about)?;
            doctor_says(&little, 2, "locked memory", &["8192 KiB", "CAP_SYS_RESOURCE"])?;
            let folder = tempfile::tempdir()?;
            let config = configuration(folder.path())?;
            let output = behind(&little, &["agent", "--config", &config])?;
            ensure!(output.code != 0, "{}", output.describe());
            let said = output.stderr.lines().last().unwrap_or_default();
            for word in about {
                ensure!(said.contains(word), "no `{word}` in {}", output.describe());
            }
            Ok(())
        },
    )
}
