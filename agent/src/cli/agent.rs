//! `weir agent`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    config::Config,
    node,
    run::{complain, summary::chain},
};

/// Enforce the pods of this node.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Configuration; without one, the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the agent; the code to exit with.
#[must_use]
pub fn run(args: &AgentArgs) -> ExitCode {
    let config =
        match args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::from_file) {
            Ok(config) => config,
            Err(error) => {
                complain(&chain(&error));
                return ExitCode::from(2);
            }
        };
    match node::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&chain(&error));
            ExitCode::FAILURE
        }
    }
}
