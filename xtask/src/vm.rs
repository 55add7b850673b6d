//! The end-to-end suites on the kernels that clusters run, each in a virtual machine.

use anyhow::{Result, ensure};
use clap::Args;

use crate::setup;
use crate::shell::{self, cargo};
use crate::test::binaries;

/// What to run, and where.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A series of kernels: 5.10, 6.1, 6.12, 7.x, or all
    #[arg(long = "kernel", default_values_t = ["all".to_owned()])]
    kernels: Vec<String>,
    /// Whether the kernels ask BPF programs for leave: on, off or both
    #[arg(long, default_value = "on")]
    lsm: String,
    /// Only cases whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// The suites, by their names
    #[arg(required = true)]
    suites: Vec<String>,
}

/// Builds weir and the suites, then runs these in virtual machines; whether all passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    setup::run()?;
    let programs = ["build", "--locked", "--package", "weir", "--package", "weir-initc"];
    shell::run(cargo(&programs))?;
    let binaries = binaries::build()?;
    let mut command = cargo(&["run", "--quiet", "--locked", "--package", "weir-tests"]);
    command.args(["--bin", "weir-vm", "--", "--lsm", &options.lsm]);
    for kernel in &options.kernels {
        command.args(["--kernel", kernel]);
    }
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    for suite in &options.suites {
        let name = format!("{}::{suite}", binaries::SUITES);
        let found = binaries.iter().find(|binary| binary.is_suite && binary.name == name);
        let known = || {
            let suites = binaries.iter().filter(|binary| binary.is_suite);
            let names = suites.filter_map(|suite| suite.name.split("::").nth(1));
            names.collect::<Vec<_>>().join(", ")
        };
        ensure!(found.is_some(), "no suite is called `{suite}`; there are {}", known());
        command.args(found.map(|suite| &suite.path));
    }
    Ok(shell::run(command).is_ok())
}
