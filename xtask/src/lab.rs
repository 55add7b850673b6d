//! The programs that show and measure weir in the lab internet.

use anyhow::Result;

use crate::setup;
use crate::shell::{self, cargo};

/// Builds weir, then shows it; whether every act behaved as it should.
pub(crate) fn demo() -> Result<bool> {
    setup::run()?;
    shell::run(cargo(&["build", "--locked", "--package", "weir"]))?;
    let run = ["run", "--quiet", "--locked", "--package", "weir-tests", "--bin", "weir-demo"];
    Ok(shell::run(cargo(&run)).is_ok())
}

/// Builds weir as it is shipped, then measures it; whether every target was reached.
pub(crate) fn bench(kernels: &[String], only: Option<&str>) -> Result<bool> {
    setup::run()?;
    let build = [
        "build",
        "--locked",
        "--release",
        "--package",
        "weir",
        "--package",
        "weir-initc",
        "--bins",
        "--example",
        "bundle_bench",
        "--example",
        "guard_bench",
        "--example",
        "packet_bench",
        "--example",
        "resolver_bench",
    ];
    shell::run(cargo(&build))?;
    // Of these the nodes of the benchmark run one in the place of runc.
    let programs = ["build", "--locked", "--release", "--package", "weir-tests", "--bins"];
    shell::run(cargo(&programs))?;
    let run = [
        "run",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        "weir-tests",
        "--bin",
        "weir-bench",
        "--",
    ];
    let mut command = cargo(&run);
    for kernel in kernels {
        command.args(["--kernel", kernel]);
    }
    command.args(only);
    Ok(shell::run(command).is_ok())
}
