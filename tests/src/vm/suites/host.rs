//! On this machine: cases in a virtual machine, and in another one for as long as some are left.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::case::{Case, Outcome, Report};
use super::guest;
use crate::lab::Netns;
use crate::vm::qemu::Machine;
use crate::vm::{Kernel, Lsm, Options, boot, folder};

/// Machines one after another that may end before their first case does.
const USELESS: u32 = 3;

/// What a host learns of its machines.
pub(super) enum Told<'a> {
    /// One runs, so long after it was started.
    Runs(Duration),
    /// A case has come to this.
    Ended(&'a Case, Outcome),
}

/// Runs `cases` on `kernel`, one after another, and tells of what happens as soon as it is known.
pub(super) fn run(
    kernel: &Kernel,
    lsm: Lsm,
    cases: &[Case],
    tell: &mut dyn FnMut(Told<'_>) -> Result<()>,
) -> Result<()> {
    let mut left = cases;
    let mut useless = 0;
    while !left.is_empty() {
        let folder = folder()?;
        let network = Netns::create("vm")?;
        guest::plan(folder.path(), left)?;
        let options = Options { lsm, ..Options::default() };
        let begun = Instant::now();
        let machine = boot(kernel, options, &network, folder.path(), &[])?;
        tell(Told::Runs(begun.elapsed()))?;
        let done = in_one(machine, left, tell)?;
        left = left.get(done..).unwrap_or_default();
        useless = if done == 0 { useless + 1 } else { 0 };
        if useless == USELESS {
            bail!("{USELESS} machines ended before they ran a case");
        }
    }
    Ok(())
}

/// Runs `cases` in `machine` as far as it goes; how many that is.
fn in_one(
    machine: Machine,
    cases: &[Case],
    tell: &mut dyn FnMut(Told<'_>) -> Result<()>,
) -> Result<usize> {
    let mut under_way = None;
    let mut done = 0;
    loop {
        let line = match machine.report(guest::silence()) {
            Ok(line) if line.starts_with("ended ") => {
                let said = machine.end()?;
                if line.trim() != "ended 0" {
                    eprintln!("a machine {}: {said}", line.trim());
                }
                return Ok(done);
            }
            Ok(line) => line,
            Err(error) => {
                let about = format!("{error:#}\n{}", machine.give_up());
                if let Some((case, begun)) = under_way {
                    let begun: Instant = begun;
                    let outcome = Outcome::lost(begun.elapsed().as_secs_f64(), about);
                    tell(Told::Ended(case, outcome))?;
                    done += 1;
                } else {
                    eprintln!("a machine ended between two cases: {about}");
                }
                return Ok(done);
            }
        };
        let report: Report = serde_json::from_str(line.trim()).context(line)?;
        match report {
            Report::Begun(place) => {
                let case = cases.get(place).context("a case that nobody planned")?;
                under_way = Some((case, Instant::now()));
            }
            Report::Ended(place, outcome) => {
                let case = cases.get(place).context("a case that nobody planned")?;
                tell(Told::Ended(case, outcome))?;
                under_way = None;
                done = place + 1;
            }
        }
    }
}
