//! The fuzz targets, each for a short fixed time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::{self, cargo};

/// Seconds per target.
const SECONDS: u32 = 20;

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

/// Runs one target. No sanitizer: what is fuzzed has no unsafe code, panics and hangs are the
/// finds, and so every compiler will do.
pub(super) fn run(target: &str) -> Result<()> {
    let folder = folder();
    let path = |part: &str| folder.join(part).join(target);
    std::fs::create_dir_all(path("corpus"))?;
    let mut command = cargo(&["fuzz", "run", "--sanitizer", "none"]);
    command.arg("--fuzz-dir").arg(&folder).arg(target);
    command.arg(path("corpus"));
    let seeds = path("seeds");
    if Path::new(&seeds).is_dir() {
        command.arg(seeds);
    }
    command.args(["--", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={SECONDS}"));
    let dictionary = folder.join(format!("{target}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    // Coverage by a stable compiler's unstable flags.
    command.env("RUSTC_BOOTSTRAP", "1");
    shell::run(command)
}
