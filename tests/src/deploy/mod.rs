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

/// What the chart's `addCapabilities` is for: Linux before 5.11 counts kernel tables as locked memory, whose limit only
/// this raises (`deploy/README.md`).
const ON_OLD_KERNELS: &str = "SYS_RESOURCE";

/// The capabilities that an agent needs on this machine's kernel.
pub fn capabilities() -> Result<Vec<&'static str>> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().context("no release")?, numbers.next().context("no release")?);
    let more = (version < (5, 11)).then_some(ON_OLD_KERNELS);
    Ok(CAPABILITIES.into_iter().chain(more).collect())
}

/// The file or folder `name` of `deploy/`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy")).join(name)
}

/// The text of the file `name` of `deploy/`.
pub fn text(name: &str) -> Result<String> {
    std::fs::read_to_string(path(name)).with_context(|| format!("reading deploy/{name}"))
}
