//! What `deploy/` holds, taken up by the tools that its users have: Helm, kubectl, promtool.

mod admission;
mod chart;
mod metrics;
mod runner;
mod stage;
mod tools;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub use self::admission::{AdmissionPolicy, Operation};
pub use self::chart::{Chart, Manifests};
pub use self::metrics::{METRICS, metric};
pub use self::runner::{Patch, pods};
pub use self::stage::{Stage, container_names};
pub use self::tools::{Tools, promtool};

/// The capabilities that the chart gives the agent, by their names without `CAP_`, sorted.
pub const CAPABILITIES: [&str; 2] = ["NET_ADMIN", "SYS_ADMIN"];

/// The file or folder `name` of `deploy/`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy")).join(name)
}

/// The text of the file `name` of `deploy/`.
pub fn text(name: &str) -> Result<String> {
    std::fs::read_to_string(path(name)).with_context(|| format!("reading deploy/{name}"))
}
