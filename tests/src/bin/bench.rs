//! `cargo xtask bench`: prints the table of ratios.

use std::process::ExitCode;

use weir_tests::bench::{self, Options};

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let reached = bench::run(&options, &mut std::io::stdout().lock())?;
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
