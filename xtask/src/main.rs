//! Developer commands: `cargo xtask setup|check|test|vm|demo|bench|image|cross`.
//!
//! `demo` and `test` set the machine up first, so that either works from a clean clone.

mod check;
mod cross;
mod image;
mod lab;
mod setup;
mod shell;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, checks, tests, demo and benchmark of weir.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what building and testing need; does nothing where it is all there
    Setup {
        /// Only print what is missing; the exit code is 1 when something is
        #[arg(long)]
        check: bool,
    },
    /// Formatting, lints, tidiness, dependencies and documentation
    Check,
    /// Every test: checks, unit and property tests, fuzzing, end-to-end suites
    Test {
        /// Only test targets whose name contains this
        #[arg(long)]
        only: Option<String>,
        /// Then the end-to-end suites on each kernel that clusters run, as `vm --lsm both all` does; takes many hours,
        /// and goes on where an earlier run stopped
        #[arg(long, conflicts_with = "only")]
        all: bool,
    },
    /// End-to-end suites on the kernels that clusters run, in virtual machines; what has passed with the very same programs
    /// counts without another run
    Vm(vm::Options),
    /// Start a small internet and watch weir hold back real programs
    Demo,
    /// Measure against the same machine without weir
    Bench {
        /// Measure on a series of kernels instead, in virtual machines: 5.10, 6.1, 6.12, 6.18, 7.x, or all. They are emulated:
        /// what they tell is how kernels compare
        #[arg(long = "kernel")]
        kernels: Vec<String>,
        /// Only the row groups whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// Build the container images of the barrier and the agent, reproducibly and without a daemon
    Image(image::Options),
    /// Build for another architecture, and run there what user emulation can run
    Cross(cross::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup { check: true } => Ok(setup::report()),
        Command::Setup { check: false } => setup::run().map(|()| true),
        Command::Check => check::run().map(|outcome| outcome.report()),
        Command::Test { only, all } => test::run(only.as_deref(), all),
        Command::Vm(options) => vm::run(&options),
        Command::Demo => lab::demo(),
        Command::Bench { kernels, only } => lab::bench(&kernels, only.as_deref()),
        Command::Image(options) => image::run(&options).map(|()| true),
        Command::Cross(options) => cross::run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
