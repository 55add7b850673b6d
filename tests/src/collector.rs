//! A collector for OTLP of another make than weir's exporter (`programs/collector.py`), with libraries that pip fetches once.
//!
//! OpenTelemetry's own is a program that no registry of these machines has.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::exec::{self, DEFAULT_LIMIT, Running};
use crate::node::Node;
use crate::packages;
use crate::vm::patient;

/// What pip is asked for, and what of it the collector needs.
const LIBRARIES: [&str; 4] = [
    "grpcio==1.85.3",
    "opentelemetry-proto==1.45.2",
    "protobuf==7.36.2",
    "typing_extensions==4.16.0",
];
const FETCH_LIMIT: Duration = Duration::from_secs(180);

/// Where Python finds the libraries.
#[derive(Clone, Debug)]
pub struct Libraries(PathBuf);

impl Libraries {
    /// Those that were fetched before, or are fetched now; none where pip gives none.
    pub fn find() -> Result<Option<Self>> {
        let cache = packages::cache()?;
        let place = cache.join(format!("collector-{}", LIBRARIES.join("-").replace("==", "-")));
        let lock = File::create(cache.join("collector-lock"))?;
        lock.lock().context("waiting for another test that fetches the collector's libraries")?;
        if !place.exists() {
            let fresh = tempfile::tempdir_in(&cache)?;
            let libraries = fresh.path().join("libraries");
            let mut pip = Command::new("pip3");
            pip.args(["install", "--quiet", "--no-deps", "--no-cache-dir", "--target"]);
            pip.arg(&libraries).args(LIBRARIES).stdin(Stdio::null());
            let output = exec::run(pip, FETCH_LIMIT)?;
            if output.code != 0 {
                eprintln!("the collector's libraries: {}", output.describe());
                return Ok(None);
            }
            fs::rename(&libraries, &place).context("keeping the collector's libraries")?;
        }
        Ok(Some(Self(place)))
    }
}

/// A collector that runs on a node; ended on drop.
#[derive(Debug)]
pub struct Collector(Running);

impl Collector {
    /// Starts one that listens at `address` and returns once it does.
    pub fn start(node: &Node, libraries: &Libraries, address: &str) -> Result<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/collector.py");
        let mut python = node.command("python3");
        python.arg(program).arg(address).env("PYTHONPATH", &libraries.0);
        let running = exec::spawn(python)?;
        running.wait_for_line(DEFAULT_LIMIT, |line| line == "listening")?;
        Ok(Self(running))
    }

    /// Waits until it has taken so many records; each by its body, which is the record as weir wrote it.
    pub fn take(&self, count: usize) -> Result<BTreeMap<String, Value>> {
        let mut taken = BTreeMap::new();
        let deadline = Instant::now() + patient(DEFAULT_LIMIT);
        while taken.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.0.wait_for_line(left, |_| true);
            let line = line.with_context(|| format!("{} of {count} records", taken.len()))?;
            let record: Value = serde_json::from_str(&line).context(line)?;
            let body = record.get("body").context("a record without a body")?.to_string();
            ensure!(taken.insert(body, record).is_none(), "the same record twice");
        }
        Ok(taken)
    }
}
