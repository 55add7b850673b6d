//! `cargo xtask vm`: runs built suites in virtual machines, one for each kernel.

use std::process::ExitCode;

use weir_tests::vm::suites::{self, Matrix};

fn main() -> anyhow::Result<ExitCode> {
    let matrix = Matrix::parse(std::env::args().skip(1))?;
    let good = suites::run(&matrix, &mut std::io::stdout())?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
