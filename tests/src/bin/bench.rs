//! `cargo xtask bench`: prints the table of ratios.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let only = std::env::args().nth(1);
    let reached = weir_tests::bench::run(only.as_deref(), &mut std::io::stdout().lock())?;
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
