//! Leaves a machine that builds and tests everything: finds what is missing, says so, installs it.
//!
//! Invariant: where nothing is missing nothing is run but the detection.

mod apt;
#[path = "../../../agent/build/bpf_toolchain.rs"]
pub(crate) mod bpf_toolchain;
mod cargo_tools;
mod packages;
mod toolchain;

use anyhow::{Result, ensure};

use crate::shell::say;

/// One thing that is missing and how to get it.
#[derive(Debug)]
enum Step {
    /// Debian packages, in one transaction.
    Packages(Vec<String>),
    /// Packages that only a suite which has to be enabled first offers.
    Backports(Vec<String>),
    /// A tool from the package registry.
    CargoTool(cargo_tools::Tool),
}

impl Step {
    fn describe(&self) -> String {
        match self {
            Self::Packages(names) => format!("packages: {}", names.join(" ")),
            Self::Backports(names) => format!("packages from backports: {}", names.join(" ")),
            Self::CargoTool(tool) => format!("cargo tool: {tool}"),
        }
    }

    fn install(&self) -> Result<()> {
        match self {
            Self::Packages(names) => apt::install(names, None),
            Self::Backports(names) => apt::install_from_backports(names),
            Self::CargoTool(tool) => tool.install(),
        }
    }
}

/// Prints what is missing; whether nothing is.
pub(crate) fn report() -> bool {
    let steps = missing();
    announce(&steps);
    steps.is_empty()
}

/// Installs what is missing. Runs in rounds, because a compiler's LLVM is known only once it is there.
pub(crate) fn run() -> Result<()> {
    for _ in 0..3 {
        let steps = missing();
        announce(&steps);
        if steps.is_empty() {
            return Ok(());
        }
        for step in &steps {
            say(&format!("setup: installing {}", step.describe()));
            step.install()?;
        }
    }
    let left = missing();
    let names: Vec<String> = left.iter().map(Step::describe).collect();
    ensure!(left.is_empty(), "still missing after installing: {}", names.join("; "));
    say("setup: done");
    Ok(())
}

fn missing() -> Vec<Step> {
    let mut packages = packages::missing();
    let mut steps = Vec::new();
    match toolchain::find() {
        toolchain::Found::Ready(compiler) => {
            packages.extend(toolchain::missing_llvm(compiler));
            steps.extend(cargo_tools::missing(Some(compiler)).into_iter().map(Step::CargoTool));
        }
        toolchain::Found::Missing(source) => {
            match source {
                toolchain::Source::Suite(names) => packages.extend(names),
                toolchain::Source::Backports(names) => steps.push(Step::Backports(names)),
            }
            steps.extend(cargo_tools::missing(None).into_iter().map(Step::CargoTool));
        }
    }
    if !packages.is_empty() {
        steps.insert(0, Step::Packages(packages));
    }
    steps
}

fn announce(steps: &[Step]) {
    if steps.is_empty() {
        say("setup: nothing to install");
        return;
    }
    say("setup: about to install");
    for step in steps {
        say(&format!("  {}", step.describe()));
    }
}
