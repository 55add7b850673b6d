//! `weir policy check`, `explain`, `which` and `suggest`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::which::WhichArgs;
use crate::bundle::check;
use crate::policy::{Chain, Profile, Target, explain};

mod suggest;
mod which;

mod project;

/// Arguments of `weir policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Check profile files, or whole policy folders; every error is shown with its place.
    ///
    /// In a folder, what the profiles include and whom they select is checked too. Exits with 0 if all is good, else
    /// with 1.
    Check {
        /// Profile files and policy folders.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
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
    /// Say which profile a job would get, and why.
    ///
    /// Exits with 0, or with 2 if the policies cannot be used.
    Which(WhichArgs),
    /// Write a profile for review: from what event records tell of, or from what a project's files say.
    Suggest(suggest::SuggestArgs),
}

/// Does what the arguments say.
#[must_use]
pub fn run(args: &PolicyArgs, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let done = match &args.command {
        PolicyCommand::Check { paths } => check(paths, out, errors).map(|good| u8::from(!good)),
        PolicyCommand::Which(args) => which::run(args, out, errors),
        PolicyCommand::Explain { file, destination } => run_explain(file, destination, out, errors),
        PolicyCommand::Suggest(args) => suggest::run(args, out, errors),
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
