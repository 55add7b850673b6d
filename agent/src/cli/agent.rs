//! `weir agent`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::level_filters::LevelFilter;

use crate::{bundle::Bundle, config::Config, node, policy::Chain};

/// Exit code when the configuration, a profile, or the start is wrong.
const NOT_STARTED: u8 = 2;

/// Arguments of `weir agent`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 when it was told to end (or the check is good), 2 when it could not start."
)]
pub struct AgentArgs {
    /// The configuration; without one, every key has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration and all profiles that it names, and exit.
    #[arg(long, conflicts_with = "print_config")]
    check_config: bool,
    /// Print the configuration with all defaults, and exit.
    #[arg(long)]
    print_config: bool,
}

impl AgentArgs {
    fn read(&self) -> Result<Config, crate::config::ConfigError> {
        self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::from_file)
    }
}

/// Runs the agent, or checks or prints its configuration; the code to exit with.
#[must_use]
pub fn run(args: &AgentArgs, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    // Whoever closed the pipe must not take the answer for a good one.
    ExitCode::from(act(args, out, errors).unwrap_or(NOT_STARTED))
}

fn act(args: &AgentArgs, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<u8> {
    let config = match args.read() {
        Ok(config) => config,
        Err(error) => {
            writeln!(errors, "{}", Chain(&error))?;
            return Ok(NOT_STARTED);
        }
    };
    if args.print_config {
        out.write_all(config.render().as_bytes())?;
        out.flush()?;
        return Ok(0);
    }
    if args.check_config {
        return match Bundle::load(&config.policy, config.gitlab, None) {
            Ok(bundle) => {
                let profiles = bundle.profiles().count();
                writeln!(
                    out,
                    "configuration OK; profiles: {profiles}, bundle {}",
                    bundle.digest()
                )?;
                Ok(0)
            }
            Err(error) => {
                writeln!(errors, "{}", Chain(&error))?;
                Ok(NOT_STARTED)
            }
        };
    }
    super::log_to_stderr(config.log.format, LevelFilter::INFO);
    raise_open_files();
    start(&config, errors)
}

/// Lets the agent open as many files as it may: some two dozen for each pod, and one for each connection and each
/// question that waits for upstream. The limit that processes begin with (1024 is usual) would do for a few pods,
/// and one that floods would take the rest from its neighbours.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(errno) = raised {
        tracing::warn!(%errno, "the limit of open files stays as it is");
    }
}

/// Runs the node agent until it is told to end.
fn start(config: &Config, errors: &mut dyn Write) -> io::Result<u8> {
    match node::run(config) {
        Ok(()) => Ok(0),
        Err(error) => {
            writeln!(errors, "weir: {}", Chain(&error))?;
            Ok(NOT_STARTED)
        }
    }
}

#[cfg(test)]
mod tests;
