//! The programs of another architecture, run by user emulation: what they say of policies and records is what this
//! machine's say, and the unit tests of the verdict and of the barrier pass.
//!
//! User emulation hands system calls to this machine's kernel. So nothing here says anything of how a kernel of the
//! other architecture takes the kernel programs.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::{Architecture, Toolchain, toolchain::Cross};
use crate::image::{Image, Tree};
use crate::shell::{self, say};

/// What to build for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The architecture, another than this machine's
    #[arg(long, default_value = "arm64")]
    arch: Architecture,
    /// Build the programs as their images hold them, and run nothing
    #[arg(long)]
    build_only: bool,
}

/// A run of a program that needs no weir around it: its arguments, one variable, and the exit code of a right one.
type Case = (Image, &'static [&'static str], Option<(&'static str, &'static str)>, i32);

const PROFILE: &str = "agent/fuzz/seeds/policy/everything.yaml";

/// Such runs.
const CASES: [Case; 9] = [
    (Image::Weir, &["--version"], None, 0),
    (Image::Weir, &["schema", "records"], None, 0),
    (Image::Weir, &["schema", "page"], None, 0),
    (Image::Weir, &["policy", "check", PROFILE], None, 0),
    (Image::Weir, &["policy", "check", "Cargo.toml"], None, 1),
    (Image::Weir, &["policy", "explain", PROFILE, "a.b.example.com:443/udp"], None, 0),
    (Image::Weir, &["policy", "explain", PROFILE, "bad.b.example.com"], None, 1),
    (Image::WeirInitc, &[], Some(("WEIR_DEADLINE", "171s")), 2),
    (Image::WeirInitc, &[], Some(("WEIR_POD_UID", "no uid")), 2),
];

/// Builds the programs for another architecture, and unless told otherwise runs them and unit tests; whether all passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let Options { arch, build_only } = *options;
    let Toolchain::Cross(cross) = Toolchain::find(arch)? else {
        bail!("{} is this machine's own architecture", arch.name());
    };
    let tree = Tree::of_images();
    let mut programs = Vec::new();
    for image in Image::ALL {
        say(&format!("building {} for {}", image.name(), arch.name()));
        let program = image.program(&tree, arch);
        programs.push((image, program.with_context(|| format!("the image {}", image.name()))?));
    }
    if build_only {
        return Ok(true);
    }
    let failed = emulated(&cross, &programs)?;
    for case in &failed {
        say(&format!("FAILED {case}"));
    }
    say(&format!("{} of {} runs as on this machine", CASES.len() - failed.len(), CASES.len()));
    let tested = unit_tests(&cross);
    if let Err(error) = &tested {
        say(&format!("FAILED unit tests: {error:#}"));
    }
    Ok(failed.is_empty() && tested.is_ok())
}

/// Runs each case here and under emulation; those that differ or fail, described.
fn emulated(cross: &Cross, programs: &[(Image, PathBuf)]) -> Result<Vec<String>> {
    shell::run(shell::cargo(&[
        "build",
        "--locked",
        "--package",
        "weir",
        "--package",
        "weir-initc",
    ]))?;
    let emulator = cross.emulator()?;
    let mut failed = Vec::new();
    for (image, arguments, variable, code) in CASES {
        let program = programs.iter().find(|(built, _)| *built == image);
        let (_, program) = program.context("a program that was not built")?;
        let own = shell::root().join("target").join("debug").join(image.name());
        let mut other = shell::command(&emulator);
        other.arg("-L").arg(cross.root()).arg(program);
        let expected = said(shell::command(&own), arguments, variable)?;
        ensure!(expected.0 == Some(code), "{} {arguments:?} here: {expected:?}", own.display());
        let found = said(other, arguments, variable)?;
        if found != expected {
            failed.push(format!("{} {arguments:?}: {found:?}, not {expected:?}", image.name()));
        }
    }
    Ok(failed)
}

/// Exit code, standard output and standard error of a program.
fn said(
    mut command: Command,
    arguments: &[&str],
    variable: Option<(&str, &str)>,
) -> Result<(Option<i32>, String, String)> {
    command.args(arguments).envs(variable).stdin(Stdio::null());
    let label = shell::label(&command);
    let output = command.output().with_context(|| format!("starting {label}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

/// Builds the unit tests of the verdict and of the barrier for the other architecture, and runs them.
fn unit_tests(cross: &Cross) -> Result<()> {
    let toolchain = Toolchain::Cross(cross.clone());
    let target = toolchain.target()?;
    let mut cargo = toolchain.cargo(&["test", "--locked", "--quiet", "--target", &target]);
    cargo.args(["--package", "weir-ebpf", "--package", "weir-initc", "--lib", "--bins"]);
    cargo.args(["--target-dir", "target/cross/tests"]);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", toolchain.flags().join("\x1f"));
    let runner = format!("{} -L {}", cross.emulator()?.display(), cross.root().display());
    let variable = target.replace('-', "_").to_uppercase();
    cargo.env(format!("CARGO_TARGET_{variable}_RUNNER"), runner);
    shell::run(cargo)
}
