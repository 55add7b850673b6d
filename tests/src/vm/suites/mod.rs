//! The end-to-end suites in virtual machines: the program that starts machines for each kernel, and the same program in
//! them, which runs one case after another.
//!
//! A machine runs as many cases as it can: one that dies, hangs or is not what it was costs a new boot for those that
//! are left. Several machines of a kernel may run side by side, each with its part of the cases. What a case came to is kept below the build results as soon as it is known, so that a run that was
//! interrupted goes on where it stopped.

mod case;
mod guest;
mod host;
mod kept;

use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use self::case::{Case, Outcome};
use self::host::Told;
use self::kept::Kept;
use super::{Kernel, Lsm, Series, guest_folder};
use crate::programs::Program;

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
    /// Whether cases run that have passed before, as they are.
    pub again: bool,
    /// How many machines run side by side; each takes a processor.
    pub machines: NonZero<usize>,
}

/// What became of the cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    /// How many of those that passed did so in an earlier run.
    kept: usize,
}

/// Runs all of it, one kernel after another, or is what runs in a machine; whether every case passed on every kernel.
pub fn run(matrix: &Matrix, out: &mut (dyn Write + Send)) -> Result<bool> {
    if let Some(folder) = guest_folder() {
        return guest::run(&folder).map(|()| true);
    }
    let cases = Case::of(&matrix.suites, matrix.only.as_deref())?;
    ensure!(!cases.is_empty(), "no case");
    Program::compile_all()?;
    let mut failed = Vec::new();
    for series in &matrix.series {
        let kernel = Kernel::find(*series)?;
        let kernel = kernel.with_context(|| {
            format!("no Debian mirror that this machine reaches gives a kernel {series}")
        })?;
        for lsm in &matrix.lsm {
            let label = format!("{} {}", kernel.version(), describe(*lsm));
            writeln!(out, "=== {label}")?;
            if !on(&kernel, *lsm, &cases, matrix, out)? {
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
fn on(
    kernel: &Kernel,
    lsm: Lsm,
    cases: &[Case],
    matrix: &Matrix,
    out: &mut (dyn Write + Send),
) -> Result<bool> {
    let kept = Kept::open(kernel.version(), lsm)?;
    let (mut counts, mut left, mut skipped) = (Counts::default(), Vec::new(), Vec::new());
    for case in cases {
        match kept.passed(case)?.filter(|_| !matrix.again) {
            Some(outcome) => {
                counts.passed += 1;
                counts.kept += 1;
                skipped.extend(outcome.skipped);
            }
            None => left.push(case.clone()),
        }
    }
    let progress = Mutex::new((counts, skipped, out));
    let tell = |told: Told<'_>| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let (counts, skipped, out) = &mut *progress;
        match told {
            Told::Runs(after) => {
                writeln!(out, "       a machine runs after {:.1} s", after.as_secs_f64())?;
            }
            Told::Ended(case, outcome) => {
                kept.keep(case, &outcome)?;
                describe_outcome(case, &outcome, out)?;
                *if outcome.passed { &mut counts.passed } else { &mut counts.failed } += 1;
                skipped.extend(outcome.skipped);
            }
        }
        out.flush().context("telling of a case")
    };
    let parts = dealt(&left, matrix.machines);
    thread::scope(|scope| {
        let machines: Vec<_> = parts
            .iter()
            .map(|part| scope.spawn(|| host::run(kernel, lsm, part, &mut { &tell })))
            .collect();
        machines.into_iter().try_for_each(|machine| {
            machine.join().map_err(|_panic| anyhow::anyhow!("a machine's thread panicked"))?
        })
    })?;
    let (counts, mut skipped, out) = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    skipped.sort();
    skipped.dedup();
    for line in skipped {
        writeln!(out, "skipped {line}")?;
    }
    let Counts { passed, failed, kept } = counts;
    writeln!(out, "{passed} passed, {failed} failed ({kept} of them had passed before)")?;
    out.flush()?;
    Ok(failed == 0)
}

/// `cases` dealt out to so many machines, as cards are: those of a long suite go to all.
fn dealt(cases: &[Case], machines: NonZero<usize>) -> Vec<Vec<Case>> {
    let part = |first| cases.iter().skip(first).step_by(machines.get()).cloned().collect();
    (0..machines.get().min(cases.len())).map(part).collect()
}

fn describe_outcome(case: &Case, outcome: &Outcome, out: &mut dyn Write) -> Result<()> {
    let word = if outcome.passed { "ok    " } else { "FAILED" };
    writeln!(out, "{word} {case} ({:.1} s)", outcome.seconds)?;
    if !outcome.passed {
        writeln!(out, "{}", outcome.said)?;
    }
    if let Some(about) = &outcome.left {
        writeln!(out, "       {about}: what is left runs in a new machine")?;
    }
    Ok(())
}

impl Matrix {
    /// Reads a command line: `[--kernel SERIES|all]… [--lsm on|off|both] [--only PART] [--again] [--machines N]
    /// SUITE…`.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut matrix = Self {
            series: Vec::new(),
            lsm: vec![Lsm::Bpf],
            suites: Vec::new(),
            only: None,
            again: false,
            machines: NonZero::<usize>::MIN,
        };
        let mut arguments = arguments;
        while let Some(word) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{word} needs a value behind it"));
            match word.as_str() {
                "--only" => matrix.only = Some(value()?),
                "--again" => matrix.again = true,
                "--machines" => {
                    let number = value()?;
                    matrix.machines = number.parse().with_context(|| {
                        format!("--machines takes a number from 1 on, not `{number}`")
                    })?;
                }
                "--lsm" => {
                    matrix.lsm = match value()?.as_str() {
                        "on" => vec![Lsm::Bpf],
                        "off" => vec![Lsm::None],
                        "both" => vec![Lsm::None, Lsm::Bpf],
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
        assert_eq!(matrix.lsm, [Lsm::None, Lsm::Bpf]);
        assert_eq!(matrix.suites, [PathBuf::from("/x/wire-1")]);
        assert_eq!(matrix.only.as_deref(), Some("dns"));
        assert!(!matrix.again && parse("--again /x/wire-1").unwrap().again);
        assert_eq!(parse("--kernel all /x/wire-1").unwrap().series, Series::ALL);
        assert_eq!(parse("--machines 3 /x/wire-1").unwrap().machines.get(), 3);
    }

    #[test]
    fn every_case_is_one_machines() {
        let cases: Vec<Case> = (0..5)
            .map(|number| Case { suite: "/x/wire-1".into(), name: number.to_string() })
            .collect();
        let names = |machines| -> Vec<String> {
            let parts = dealt(&cases, NonZero::new(machines).unwrap());
            parts.iter().map(|part| part.iter().map(|case| case.name.as_str()).collect()).collect()
        };
        assert_eq!(names(1), ["01234"]);
        assert_eq!(names(2), ["024", "13"]);
        assert_eq!(names(9), ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = format!("{:#}", parse("--kernel 4.19").unwrap_err());
        assert!(error.contains("4.19") && error.contains("5.10, 6.1, 6.12, 6.18, 7.x"), "{error}");
        assert!(parse("--kernel").is_err() && parse("--lsm maybe").is_err());
        assert!(parse("--machines 0").is_err() && parse("--machines many").is_err());
    }
}
