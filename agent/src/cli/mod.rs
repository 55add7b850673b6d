//! The command line: arguments in, exit code out.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod policy;

/// Default-deny egress control for CI runners.
#[derive(Debug, Parser)]
#[command(name = "weir", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check and explain profiles.
    Policy(policy::PolicyArgs),
}

/// Reads the arguments of the process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Policy(args) => {
            policy::run(&args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
    }
}
