//! Everything that can be said without running a test.

mod tidy;

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::setup::bpf_toolchain::BpfToolchain;
use crate::shell::{self, cargo, say};

/// How many checks passed and which failed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    passed: usize,
    failed: Vec<String>,
}

impl Outcome {
    /// Prints the closing lines; whether everything passed.
    pub(crate) fn report(&self) -> bool {
        for name in &self.failed {
            say(&format!("FAILED {name}"));
        }
        say(&format!("{} passed, {} failed", self.passed, self.failed.len()));
        self.failed.is_empty()
    }

    /// Checks that passed.
    pub(crate) const fn passed(&self) -> usize {
        self.passed
    }

    /// Names of those that failed.
    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }

    fn note(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                say(&format!("check {name}: {error:#}"));
                self.failed.push(format!("check {name}"));
            }
        }
    }
}

/// Runs every check, also after one has failed.
pub(crate) fn run() -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for (name, command) in commands() {
        say(&format!("check {name}"));
        outcome.note(name, shell::run(command));
    }
    say("check tidy");
    let problems = tidy::problems(shell::root())?;
    for problem in &problems {
        say(&format!("  {problem}"));
    }
    let result = if problems.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("not tidy")) };
    outcome.note("tidy", result);
    Ok(outcome)
}

fn commands() -> Vec<(&'static str, Command)> {
    let mut document =
        cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    document.env("RUSTDOCFLAGS", "-D warnings");
    let mut clippy = cargo(&["clippy", "--quiet", "--workspace", "--all-targets"]);
    // With the fuzz targets, and what is there for them alone.
    clippy.args(["--features", "weir-fuzz/targets", "--", "--cfg", "fuzzing", "-D", "warnings"]);
    let mut list = vec![
        ("fmt", cargo(&["fmt", "--all", "--check"])),
        ("clippy", clippy),
        // Advisories are a database on the network; what is checked here needs none.
        ("deny", cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"])),
        ("doc", document),
    ];
    if let Some(command) = clippy_for_programs() {
        list.push(("clippy on the kernel programs", command));
    }
    list
}

/// Lints of the kernel programs themselves, where the compiler that builds them has clippy.
fn clippy_for_programs() -> Option<Command> {
    let toolchain = BpfToolchain::find().ok()?;
    let mut command = match toolchain {
        BpfToolchain::Rustup(_) => toolchain.cargo(),
        // Not by way of `cargo clippy`: cargo looks into its home's `bin` before it asks PATH, and
        // finds rustup's clippy there, which knows no such target.
        BpfToolchain::System => {
            let clippy = Path::new("/usr/bin/cargo-clippy");
            let mut command = Command::new(clippy.exists().then_some(clippy)?);
            for (name, value) in toolchain.cargo().get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            command.env("CARGO", "/usr/bin/cargo");
            command
        }
    };
    command.current_dir(shell::root());
    command.args(["clippy", "--quiet", "--package", "weir-ebpf", "--bin", "weir-programs"]);
    command.args(["--features", "programs", "--target", "bpfel-unknown-none"]);
    command.args(["--target-dir", "target/bpf-clippy", "--", "-D", "warnings"]);
    Some(command)
}
