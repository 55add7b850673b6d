//! An agent that cannot work says so at once, says what to do, and changes nothing.

use std::fs;

use anyhow::{Context, Result, ensure};
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::exec::{self, DEFAULT_LIMIT, Output};
use weir_tests::lab::Lab;
use weir_tests::node::{Node, Options};
use weir_tests::profile::Profile;
use weir_tests::weir;

/// Everything that is wrong with how an agent is started ends with this.
const NOT_STARTED: i32 = 2;

fn deny_all() -> AgentSpec {
    AgentSpec::default().namespace("ci", &Profile::deny_all().text())
}

/// `weir agent` with these words, on this very machine; it is to end before it touches anything.
fn agent(words: &[&str]) -> Result<Output> {
    let mut command = std::process::Command::new(weir::binary()?);
    command.arg("agent").args(words);
    exec::run(command, DEFAULT_LIMIT)
}

/// The agent's refusal to start on a node with this configuration, behind a shell line that prepares it.
fn refused(node: &Node, spec: &AgentSpec, before: &str) -> Result<Output> {
    spec.write(node)?;
    let mut command = node.command("unshare");
    let script = format!("{before}; exec \"$0\" agent --config \"$1\"");
    command.args(["--mount", "sh", "-c", &script]).arg(weir::binary()?).arg(AgentSpec::CONFIG);
    exec::run(command, DEFAULT_LIMIT)?.expect_code(NOT_STARTED)
}

fn says(output: &Output, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(output.stderr.contains(part), "not `{part}` in {}", output.describe());
    }
    Ok(())
}

#[test]
fn a_wrong_configuration_is_named_by_file_line_and_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.yaml");
    let path = file.to_str().context("a path that is no text")?;
    for (text, parts) in [
        ("contanerd: {}\n", &["config.yaml:1", "containerd"][..]),
        ("limits: { podSlots: 0 }\n", &["config.yaml:1", "podSlots"]),
        ("http: everywhere\n", &["config.yaml:1", "http"]),
        ("select: [\n", &["config.yaml:"]),
    ] {
        fs::write(&file, text)?;
        for words in [&["--config", path][..], &["--config", path, "--check-config"]] {
            says(&agent(words)?.expect_code(NOT_STARTED)?, parts)?;
        }
    }
    let output = agent(&["--config", "/nonexistent.yaml"])?.expect_code(NOT_STARTED)?;
    says(&output, &["/nonexistent.yaml"])
}

#[test]
fn the_printed_defaults_are_a_configuration() -> Result<()> {
    let printed = agent(&["--print-config"])?.expect_code(0)?.stdout;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.yaml");
    fs::write(&file, &printed)?;
    let path = file.to_str().context("a path that is no text")?;
    let again = agent(&["--config", path, "--print-config"])?.expect_code(0)?.stdout;
    ensure!(again == printed, "{again}");
    Ok(())
}

#[test]
fn without_bpffs_the_agent_says_how_to_mount_it() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let output = refused(&node, &deny_all(), "umount /sys/fs/bpf")?;
    says(&output, &["mount -t bpf bpf /sys/fs/bpf"])
}

#[test]
fn without_cgroup_v2_the_agent_says_how_to_mount_it() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let output = refused(&node, &deny_all(), "umount -R /sys/fs/cgroup")?;
    says(&output, &["mount -t cgroup2"])
}

#[test]
fn a_second_agent_leaves_the_first_alone() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let spec = deny_all();
    let first = spec.start(&node)?;
    let output = refused(&node, &spec, ":")?;
    says(&output, &["another"])?;
    Agent::pods(&node)?;
    first.stop().map(drop)
}

#[test]
fn a_containerd_that_is_not_there_yet_is_waited_for() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    node.stop_containerd()?;
    deny_all().write(&node)?;
    let agent = Agent::spawn(&node)?;
    agent.wait_for("containerd.sock")?;
    let mut curl = node.command("curl");
    curl.args(["-sS", "http://127.0.0.1:9411/readyz"]);
    let not_ready = exec::run(curl, DEFAULT_LIMIT)?.stdout;
    ensure!(not_ready.contains("containerd"), "{not_ready}");
    node.start_containerd()?;
    agent.wait_for("reconciled")?;
    agent.stop().map(drop)
}
