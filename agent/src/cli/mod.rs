//! The command line: arguments in, exit code out.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::LogFormat;

pub mod agent;
pub mod doctor;
pub mod pods;
pub mod policy;
pub mod report;
pub mod run;
pub mod schema;

/// Default-deny egress control for CI runners.
#[derive(Debug, Parser)]
#[command(name = "weir", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command, and all that it starts, under default-deny egress.
    Run(run::RunArgs),
    /// Enforce the CI pods of this node.
    Agent(agent::AgentArgs),
    /// List the pods that the agent of this node enforces.
    Pods(pods::PodsArgs),
    /// Check, explain and suggest profiles.
    Policy(policy::PolicyArgs),
    /// Report from event records who tried to reach what, for people.
    Report(report::ReportArgs),
    /// Say what this machine can enforce, and what gets weaker for want of what it lacks.
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of the event records, or of what a job reads of itself.
    Schema(schema::SchemaArgs),
    /// Become the command of `weir run`; not for people.
    #[command(name = crate::run::LAUNCH, hide = true)]
    Launch(run::LaunchArgs),
}

/// Reads the arguments of the process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    // The agent's configuration says how it logs.
    if !matches!(command, Command::Agent(_)) {
        log_to_stderr(LogFormat::Text, LevelFilter::WARN);
    }
    match command {
        Command::Agent(args) => {
            // Not locked: the agent logs from many threads for as long as it runs.
            agent::run(&args, &mut std::io::stdout(), &mut std::io::stderr())
        }
        Command::Pods(args) => {
            pods::run(args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Run(args) => run::run(args),
        Command::Launch(args) => run::launch(args),
        Command::Policy(args) => {
            policy::run(&args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Report(args) => {
            report::run(&args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Doctor(args) => {
            doctor::run(&args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Schema(args) => {
            schema::run(args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
    }
}

/// What weir says of its own working goes to standard error; `WEIR_LOG` chooses how much, in the form of
/// tracing's filters (`WEIR_LOG=weir=debug`).
fn log_to_stderr(format: LogFormat, level: LevelFilter) {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(level.into())
        .with_env_var("WEIR_LOG")
        .from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}
