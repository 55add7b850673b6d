//! The fuzz targets, each for a short fixed time.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::binaries::{self, Binary};
use crate::shell::{self, cargo};

/// Seconds per target.
const SECONDS: u32 = 20;
/// The package of the targets, and the feature without which they are not built.
const PACKAGE: &str = "weir-fuzz";
const FEATURE: &str = "weir-fuzz/targets";

/// Where the fuzz crate is.
fn folder() -> PathBuf {
    shell::root().join("agent/fuzz")
}

/// The names of the targets: the files of the crate's folder of targets.
pub(super) fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder().join("fuzz_targets")) else { return Ok(names) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            names.push(stem.context("a fuzz target's name is not UTF-8")?.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds the targets, as tests of the whole workspace, so that dependencies have the features that they have for these
/// and are not compiled again; what is fuzzed is, by the crate's `instrument`.
pub(super) fn build(targets: &[String]) -> Result<Vec<Binary>> {
    let mut command = cargo(&["test", "--locked", "--workspace", "--no-run"]);
    command.args(["--features", FEATURE]);
    for target in targets {
        command.args(["--bin", target]);
    }
    command.env("RUSTC_WORKSPACE_WRAPPER", folder().join("instrument"));
    let built = binaries::listed_by(command)?;
    Ok(built.into_iter().filter(|binary| binary.package == PACKAGE).collect())
}

/// Runs one target from its seeds and from what earlier runs found.
pub(super) fn run(target: &Binary) -> Result<()> {
    let name = target.name.rsplit("::").next().context("a target without a name")?;
    let path = |part: &str| target.folder.join(part).join(name);
    let (corpus, seeds, artifacts) = (path("corpus"), path("seeds"), path("artifacts"));
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder)?;
    }
    let mut command = shell::command(&target.path);
    command.arg(corpus);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={SECONDS}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    let dictionary = target.folder.join(format!("{name}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    shell::run(command)
}
