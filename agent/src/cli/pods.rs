//! `weir pods`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{
    config::Config,
    control::{pods, to_json, to_text},
    run::summary::chain,
};

/// Arguments of `weir pods`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 when the agent answered, else 2.")]
pub struct PodsArgs {
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    /// The agent's control socket [default: that of an agent without configuration].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Asks the agent and prints what it says.
#[must_use]
pub fn run(args: PodsArgs, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    // Whoever closed the pipe must not take the answer for a good one.
    ExitCode::from(print(args, out, errors).unwrap_or(2))
}

fn print(args: PodsArgs, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<u8> {
    let socket = args.socket.unwrap_or_else(|| Config::default().control);
    match pods(&socket) {
        Ok(pods) => {
            let text = if args.json { to_json(&pods)? } else { to_text(&pods) };
            out.write_all(text.as_bytes())?;
            out.flush()?;
            Ok(0)
        }
        Err(error) => {
            writeln!(errors, "weir: {}", chain(&error))?;
            Ok(2)
        }
    }
}
