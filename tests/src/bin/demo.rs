//! `cargo xtask demo`: shows weir at work in the lab internet.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let good = weir_tests::demo::run(&mut std::io::stdout().lock())?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
