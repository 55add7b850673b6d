//! The end-to-end suites in virtual machines: the program that starts a machine for each kernel, and the same program in
//! it, which runs one case after another.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Kernel, Lsm, Series, guest_folder, run_with};
use crate::exec::{self, DEFAULT_LIMIT};
use crate::lab::Netns;
use crate::skip::SKIPS_FILE;

/// Most time for one case, under emulation.
const CASE_LIMIT: Duration = Duration::from_secs(600);
/// Most time for all cases on one kernel.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// What is to run, and where.
#[derive(Debug)]
pub struct Matrix {
    /// The kernels.
    pub series: Vec<Series>,
    /// Whether they ask BPF programs for leave.
    pub lsm: Vec<Lsm>,
    /// The built suites.
    pub suites: Vec<PathBuf>,
    /// Only cases whose name contains this.
    pub only: Option<String>,
}

/// What became of the cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
}

/// Runs all of it, one machine after another; whether every case passed on every kernel.
pub fn run(matrix: &Matrix, out: &mut dyn Write) -> Result<bool> {
    if guest_folder().is_some() {
        return inside(matrix, out);
    }
    let mut failed = Vec::new();
    for series in &matrix.series {
        let kernel = Kernel::find(*series)?;
        let kernel = kernel.with_context(|| {
            format!("no Debian mirror that this machine reaches gives a kernel {series}")
        })?;
        for lsm in &matrix.lsm {
            let label = format!("{} {}", kernel.version(), describe(*lsm));
            writeln!(out, "=== {label}")?;
            out.flush()?;
            if !on(&kernel, *lsm, matrix, out)? {
                failed.push(label);
            }
        }
    }
    for label in &failed {
        writeln!(out, "failed on {label}")?;
    }
    Ok(failed.is_empty())
}

const fn describe(lsm: Lsm) -> &'static str {
    match lsm {
        Lsm::Bpf => "with BPF LSM",
        Lsm::None => "without BPF LSM",
    }
}

/// All cases on one kernel.
fn on(kernel: &Kernel, lsm: Lsm, matrix: &Matrix, out: &mut dyn Write) -> Result<bool> {
    let folder = super::folder()?;
    let network = Netns::create("vm")?;
    let mut arguments = Vec::new();
    if let Some(only) = &matrix.only {
        arguments.extend(["--only", only]);
    }
    let suites: Vec<_> = matrix.suites.iter().map(|suite| suite.to_string_lossy()).collect();
    arguments.extend(suites.iter().map(AsRef::as_ref));
    let output = run_with(kernel, lsm, &network, folder.path(), &arguments, LIMIT)?;
    out.write_all(output.stdout.replace('\r', "").as_bytes())?;
    if !matches!(output.code, 0 | 1) {
        writeln!(
            out,
            "the guest ended with code {}; its console:\n{}",
            output.code, output.stderr
        )?;
    }
    Ok(output.code == 0)
}

/// In the machine: every case of every suite, each in a process of its own.
fn inside(matrix: &Matrix, out: &mut dyn Write) -> Result<bool> {
    let skips = std::env::temp_dir().join("skips");
    let mut counts = Counts::default();
    for suite in &matrix.suites {
        let name = suite_name(suite)?;
        for case in cases(suite, matrix.only.as_deref())? {
            let mut command = Command::new(suite);
            command.args(["--exact", &case, "--nocapture", "--test-threads", "1"]);
            command.current_dir(env!("CARGO_MANIFEST_DIR"));
            command.env(SKIPS_FILE, &skips).env("RUST_BACKTRACE", "0");
            let begun = Instant::now();
            let ended = exec::run(command, CASE_LIMIT);
            let seconds = begun.elapsed().as_secs_f64();
            let (word, about) = match ended {
                Ok(output) if output.code == 0 => ("ok    ", String::new()),
                Ok(output) => ("FAILED", output.describe()),
                Err(error) => ("FAILED", format!("{error:#}")),
            };
            if about.is_empty() {
                counts.passed += 1;
            } else {
                counts.failed += 1;
            }
            writeln!(out, "{word} {name}::{case} ({seconds:.1} s)\n{about}")?;
            out.flush()?;
        }
    }
    for line in std::fs::read_to_string(&skips).unwrap_or_default().lines() {
        writeln!(out, "skipped {line}")?;
    }
    let Counts { passed, failed } = counts;
    writeln!(out, "{passed} passed, {failed} failed")?;
    ensure!(passed + failed > 0, "no case");
    Ok(failed == 0)
}

/// `NAME` of `NAME-HASH`, as cargo calls what it builds.
fn suite_name(suite: &Path) -> Result<String> {
    let stem = suite.file_name().and_then(|name| name.to_str());
    let name = stem.and_then(|stem| stem.rsplit_once('-')).map(|(name, _)| name);
    Ok(name.with_context(|| format!("{} is no built suite", suite.display()))?.to_owned())
}

fn cases(suite: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let mut list = Command::new(suite);
    list.args(["--list", "--format", "terse"]);
    let said = exec::run(list, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
    let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
    let wanted = names.filter(|name| only.is_none_or(|part| name.contains(part)));
    Ok(wanted.map(str::to_owned).collect())
}

impl Matrix {
    /// Reads a command line: `[--kernel SERIES|all]… [--lsm on|off|both] [--only PART] SUITE…`.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut matrix =
            Self { series: Vec::new(), lsm: vec![Lsm::Bpf], suites: Vec::new(), only: None };
        let mut arguments = arguments;
        while let Some(word) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{word} needs a value behind it"));
            match word.as_str() {
                "--only" => matrix.only = Some(value()?),
                "--lsm" => {
                    matrix.lsm = match value()?.as_str() {
                        "on" => vec![Lsm::Bpf],
                        "off" => vec![Lsm::None],
                        "both" => vec![Lsm::Bpf, Lsm::None],
                        other => bail!("--lsm takes on, off or both, not `{other}`"),
                    }
                }
                "--kernel" => match value()?.as_str() {
                    "all" => matrix.series.extend(Series::ALL),
                    one => matrix.series.push(one.parse()?),
                },
                suite => matrix.suites.push(suite.into()),
            }
        }
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Matrix> {
        Matrix::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_command_line_names_kernels_modules_and_suites() {
        let matrix = parse("--kernel 5.10 --kernel 7.x --lsm both --only dns /x/wire-1").unwrap();
        assert_eq!(matrix.series, [Series::V5_10, Series::V7]);
        assert_eq!(matrix.lsm, [Lsm::Bpf, Lsm::None]);
        assert_eq!(matrix.suites, [PathBuf::from("/x/wire-1")]);
        assert_eq!(matrix.only.as_deref(), Some("dns"));
        assert_eq!(parse("--kernel all /x/wire-1").unwrap().series, Series::ALL);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = format!("{:#}", parse("--kernel 4.19").unwrap_err());
        assert!(error.contains("4.19") && error.contains("5.10, 6.1, 6.12, 7.x"), "{error}");
        assert!(parse("--kernel").is_err() && parse("--lsm maybe").is_err());
    }

    #[test]
    fn a_suite_is_known_by_its_file() {
        assert_eq!(suite_name(Path::new("/t/pod_shapes-0a1b")).unwrap(), "pod_shapes");
        assert!(suite_name(Path::new("/t/wire")).is_err());
    }
}
