//! The benchmark: ratios of weir to the same machine without it, taken side by side in one run.
//!
//! One file per row group; each offers `pub(super) fn rows(&Ground) -> Result<Vec<Row>>` and is listed
//! in `GROUPS`.

mod accounts;
mod bundle;
mod connections;
mod events;
mod guard;
mod memory;
mod node;
mod packets;
mod process;
mod processes;
mod resolver;
mod row;
mod throughput;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub use self::row::{Row, Target};
use crate::exec::Output;
use crate::lab::{Lab, Netns};
use crate::profile::Profile;
use crate::programs::target_folder;
use crate::vm::{self, Kernel, Series};

/// Most time that a virtual machine may measure.
const MACHINE_LIMIT: Duration = Duration::from_secs(3600);

/// What every row group measures on.
#[derive(Debug)]
pub struct Ground {
    /// The lab; `weir run` stands on its client's machine.
    pub lab: Lab,
}

impl Ground {
    /// A profile that allows what the benchmark does, and as much again as a real job has.
    #[must_use]
    pub fn profile() -> Profile {
        Profile::deny_all().domains_at(&["files.example.com"], &["443", "5201", "5202"]).domains(&[
            "api.example.com",
            "git.example.com",
            "*.cdn.example.com",
        ])
    }
}

/// A measuring program of weir's own, from `agent/examples`.
fn example(name: &str) -> Result<PathBuf> {
    let path = target_folder()?.join("examples").join(name);
    ensure!(path.is_file(), "no {}: build it with `--example {name}`", path.display());
    Ok(path)
}

/// What a measuring program says in its rounds, a JSON object on each line: by case, the median.
struct Rounds(Vec<Value>);

impl Rounds {
    fn read(output: &Output) -> Result<Self> {
        let lines = output.stdout.lines().map(serde_json::from_str);
        Ok(Self(lines.collect::<Result<_, _>>().context("reading a measuring program's report")?))
    }

    fn median(&self, case: &str) -> Result<f64> {
        let values = self.0.iter().map(|round| round.get(case).and_then(Value::as_f64));
        values.collect::<Option<Vec<f64>>>().map(row::median).with_context(|| format!("no {case}"))
    }
}

type Group = (&'static str, fn(&Ground) -> Result<Vec<Row>>);

/// The row groups, in the order of the table.
const GROUPS: [Group; 10] = [
    ("bundle", bundle::rows),
    ("packets", packets::rows),
    ("throughput", throughput::rows),
    ("connections", connections::rows),
    ("resolver", resolver::rows),
    ("memory", memory::rows),
    ("processes", processes::rows),
    ("guard", guard::rows),
    ("events", events::rows),
    ("node", node::rows),
];

/// What to measure, and where.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Kernels of virtual machines; none: that of this machine.
    pub kernels: Vec<Series>,
    /// Only the groups whose name contains this.
    pub only: Option<String>,
}

impl Options {
    /// Reads a command line: `[--kernel SERIES|all]… [GROUP]`.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(word) = arguments.next() {
            if word != "--kernel" {
                options.only = Some(word);
                continue;
            }
            match arguments.next().context("--kernel needs a value behind it")?.as_str() {
                "all" => options.kernels.extend(Series::ALL),
                one => options.kernels.push(one.parse()?),
            }
        }
        Ok(options)
    }
}

/// Measures, and prints a table; whether every group could be measured and every target was reached. A virtual machine is
/// emulated, so that its figures are its own alone, and have no target.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<bool> {
    let only = options.only.as_deref();
    if options.kernels.is_empty() {
        return here(only, out);
    }
    let mut is_whole = true;
    for series in &options.kernels {
        let kernel = Kernel::find(*series)?;
        let kernel = kernel.with_context(|| format!("no mirror gives a kernel {series}"))?;
        writeln!(out, "=== {}, emulated", kernel.version())?;
        let (folder, network) = (vm::folder()?, Netns::create("vm")?);
        let words = only.as_slice();
        let said = vm::run_this_program(&kernel, &network, folder.path(), words, MACHINE_LIMIT)?;
        write!(out, "{}", said.stdout)?;
        ensure!(said.stdout.contains(&Row::header()), "no table: {}", said.describe());
        is_whole &= said.code == 0;
    }
    Ok(is_whole)
}

/// Measures the groups whose name contains `only`, or all, on this machine.
fn here(only: Option<&str>, out: &mut dyn Write) -> Result<bool> {
    let ground = Ground { lab: Lab::new()? };
    let is_emulated = vm::guest_folder().is_some();
    let (mut rows, mut is_whole) = (Vec::new(), true);
    for (name, measure) in
        GROUPS.iter().filter(|(name, _)| only.is_none_or(|part| name.contains(part)))
    {
        writeln!(out, "measuring {name}")?;
        // What the others have measured is not lost with one.
        match measure(&ground) {
            Ok(measured) if is_emulated => {
                rows.extend(measured.into_iter().map(Row::untargeted));
            }
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                is_whole = false;
                writeln!(out, "{name} could not be measured: {error:?}")?;
            }
        }
    }
    writeln!(out, "\n{}", Row::header())?;
    for row in &rows {
        writeln!(out, "{row}")?;
    }
    Ok(is_whole && rows.iter().all(Row::is_reached))
}
