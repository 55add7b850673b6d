//! `weir doctor`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;

use crate::doctor::{Check, examine, exit_code, to_json, to_text};

/// Arguments of `weir doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 when all is well, 1 when something is weaker, 2 when weir cannot enforce \
here or that could not be told (without root)."
)]
pub struct DoctorArgs {
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
}

/// Examines this machine.
#[must_use]
pub fn run(args: &DoctorArgs, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let checks = examine();
    // Whoever closed the pipe must not take the answer for a good one.
    match print(args, &checks, out, errors) {
        Ok(()) => ExitCode::from(exit_code(&checks)),
        Err(_unread) => ExitCode::from(2),
    }
}

fn print(
    args: &DoctorArgs,
    checks: &[Check],
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<()> {
    let text = if args.json { to_json(checks)? } else { to_text(checks) };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    let unchecked = checks.iter().filter(|check| !check.was_done()).map(|check| check.title);
    let unchecked: Vec<&str> = unchecked.collect();
    if unchecked.is_empty() {
        return Ok(());
    }
    let unchecked = unchecked.join(", ");
    writeln!(
        errors,
        "weir: not checked for want of privileges: {unchecked}; try `sudo weir doctor`"
    )
}
