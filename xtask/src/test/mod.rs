//! Every test of the repository, the fast ones first, counted together.

pub(crate) mod binaries;
mod cases;
mod fuzz;
mod summary;

use std::time::Instant;

use anyhow::{Context, Result};

use self::summary::Summary;
use crate::shell;
use crate::{check, setup, vm};

/// Runs the tests whose target's name contains `only`, or all of them, and then, if `everywhere`, the end-to-end suites
/// on every kernel; whether all passed.
pub(crate) fn run(only: Option<&str>, everywhere: bool) -> Result<bool> {
    let begun = Instant::now();
    setup::run()?;
    let skips = shell::root().join("target").join("skips");
    let mut summary = Summary::new(skips.clone(), begun)?;
    if only.is_none() {
        summary.begin("checks");
        let outcome = check::run()?;
        summary.add_passed(outcome.passed());
        for name in outcome.failed() {
            summary.add_failed(name);
        }
    }

    summary.begin("building weir and its tests");
    let binaries = binaries::build()?;
    let all = binaries.clone();
    let wanted = |name: &str| only.is_none_or(|part| name.contains(part));
    let (mut suites, units): (Vec<_>, Vec<_>) = binaries
        .into_iter()
        .filter(|binary| wanted(&binary.name))
        .partition(|binary| binary.package == binaries::SUITES && binary.is_suite);
    let _preparations: Vec<_> = suites
        .iter()
        .filter(|suite| cases::prepares(suite))
        .map(cases::prepare)
        .collect::<Result<_>>()?;

    if !units.is_empty() {
        summary.begin("unit tests");
    }
    for binary in &units {
        cases::run_together(binary, &mut summary)?;
    }
    let fuzzed: Vec<_> = fuzz::targets()?.into_iter().filter(|target| wanted(target)).collect();
    if !fuzzed.is_empty() {
        summary.begin("fuzz targets");
        for target in &fuzz::build(&fuzzed)? {
            summary.note(&format!("fuzz {}", target.name), fuzz::run(target));
        }
    }
    let mut stages = cases::STAGES.map(|lanes| vec![Vec::new(); lanes.len()]);
    // Stable: those of the same turn stay in the order of their names.
    suites.sort_by_key(cases::place);
    for suite in suites {
        let (stage, lane, _) = cases::place(&suite);
        let place = stages.get_mut(stage).and_then(|stage| stage.get_mut(lane));
        place.context("a suite without a place")?.push(suite);
    }
    let stages = stages.iter().zip(cases::STAGES);
    for (lanes, workers) in stages.filter(|(lanes, _)| lanes.iter().any(|lane| !lane.is_empty())) {
        summary.begin("end-to-end suites");
        cases::run_lanes(lanes, workers, &skips, everywhere, &mut summary)?;
    }
    if everywhere {
        for (kernel, lsm) in vm::KERNELS.into_iter().flat_map(|it| vm::LSM.map(|lsm| (it, lsm))) {
            let name = format!("suites on Linux {kernel}, BPF LSM {lsm}");
            summary.note(&name, vm::matrix(&all, kernel, lsm));
        }
    }
    summary.report()
}
