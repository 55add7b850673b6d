//! `weir policy check` and `weir policy explain`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::policy::{Chain, Profile, Target, check, explain};

/// Arguments of `weir policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Check profile files; all of them are read, and every error is shown with its place.
    ///
    /// Exits with 0 if all files are good, else with 1.
    Check {
        /// The profile files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say whether a profile allows a destination, and which rule decides.
    ///
    /// Exits with 0 if it is allowed, 1 if it is refused, 2 if the profile or destination is wrong.
    Explain {
        /// The profile file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// `NAME|ADDR[:PORT[/PROTO]]`, as in `registry.example.com`, `192.0.2.7:443/udp`,
        /// `[2001:db8::1]:22`, `192.0.2.7:icmp`; the port is 443/tcp if none is given.
        #[arg(value_name = "DESTINATION")]
        destination: Target,
    },
}

/// Does what the arguments say.
#[must_use]
pub fn run(args: &PolicyArgs, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let done = match &args.command {
        PolicyCommand::Check { files } => check(files, out, errors).map(|good| u8::from(!good)),
        PolicyCommand::Explain { file, destination } => run_explain(file, destination, out, errors),
    };
    // Whoever closed the pipe no longer wants the answer, but must not take it for a good one.
    ExitCode::from(done.unwrap_or(2))
}

fn run_explain(
    file: &Path,
    destination: &Target,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    match Profile::from_file(file) {
        Ok(profile) => {
            let explanation = explain(&profile, destination);
            write!(out, "{explanation}")?;
            Ok(u8::from(!explanation.is_allowed()))
        }
        Err(error) => {
            writeln!(errors, "{}", Chain(&error))?;
            Ok(2)
        }
    }
}

#[cfg(test)]
mod tests;
