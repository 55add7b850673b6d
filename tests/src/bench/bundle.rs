//! A large bundle: what it takes to load, to ask and to keep.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Ground, Row, Target, example};
use crate::exec;

const LIMIT: Duration = Duration::from_secs(120);

/// Rows for one profile of 100,000 names.
pub(super) fn rows(_: &Ground) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(example("bundle_bench")?);
    command.arg(folder.path());
    let output = exec::run(command, LIMIT)?.expect_code(0)?;
    let report: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("reading bundle_bench's report: {}", output.stdout))?;
    let row = |name: &str, key: &str, unit, target| -> Result<Row> {
        let value = report.get(key).and_then(Value::as_f64).with_context(|| format!("no {key}"))?;
        Ok(Row { name: name.to_owned(), unit, value, against: None, target })
    };
    Ok(vec![
        row("bundle of 100,000 names: lookup", "lookup_ns", "ns", Target::AtMost(1000.0))?,
        row("bundle of 100,000 names: reload", "reload_ms", "ms", Target::AtMost(300.0))?,
        row("bundle of 100,000 names: nothing new", "unchanged_ms", "ms", Target::Shown)?,
        row(
            "bundle: memory per name over its text",
            "bytes_per_name",
            "bytes",
            Target::AtMost(100.0),
        )?,
    ])
}
