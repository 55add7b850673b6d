//! What a large bundle costs: time to load and to load again, time per lookup, memory per name.
//!
//! Prints one JSON object. Needs no privileges.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use weir::bundle::{Bundle, memory};
use weir::config::{Config, Policy};
use weir::policy::{HostName, NameDecision};

/// Names in the bundle.
const NAMES: usize = 100_000;
/// Rules that they are spread over.
const RULES: usize = 100;
/// Loads; the median is told.
const LOADS: usize = 7;

fn name(number: usize) -> String {
    // As long as registries' and clouds' names are.
    format!("host-{number:06}.zone-{:03}.example.com", number % 777)
}

/// A profile with all names; `version` makes it another one.
fn profile(version: usize) -> Result<String> {
    let mut text = String::from(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: large }\nspec:\n  allow:\n",
    );
    for rule in 0..RULES {
        writeln!(text, "    - id: rule-{rule}\n      domains:")?;
        for number in (rule..NAMES).step_by(RULES) {
            writeln!(text, "        - {}", name(number))?;
        }
    }
    writeln!(text, "    - {{ id: version, domains: [v{version}.example.com] }}")?;
    Ok(text)
}

fn resident_bytes() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

fn load(policy: &Policy, older: Option<&Bundle>) -> Result<(Bundle, f64)> {
    let begun = Instant::now();
    let bundle = Bundle::load(policy, Config::default().gitlab, older)?;
    Ok((bundle, begun.elapsed().as_secs_f64() * 1000.0))
}

fn write(folder: &Path, version: usize) -> Result<usize> {
    let text = profile(version)?;
    fs::write(folder.join("large.yaml"), &text)?;
    Ok(text.len())
}

/// Nanoseconds per decision, over names that are listed and names that are not.
fn lookups(bundle: &Bundle) -> Result<f64> {
    let profile = bundle.profile("large").context("no profile")?;
    let mut names = Vec::new();
    for number in (0..NAMES).step_by(10) {
        names.push(HostName::parse(&name(number))?);
        names.push(HostName::parse(&format!("other-{}", name(number)))?);
    }
    let mut allowed = 0_u32;
    let begun = Instant::now();
    for name in &names {
        if let NameDecision::Allowed(grants) = black_box(profile.decide_name(black_box(name))) {
            allowed += u32::try_from(grants.iter().count())?;
        }
    }
    let count = u32::try_from(names.len())?;
    let elapsed = begun.elapsed().as_secs_f64();
    ensure!(allowed == count / 2, "{allowed} of {count} are allowed");
    Ok(elapsed * 1e9 / f64::from(count))
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: bundle_bench FOLDER")?;
    let folder = Path::new(&folder);
    let policy = Policy { dir: folder.to_owned(), ..Config::default().policy };
    let before = resident_bytes()?;
    let bytes = write(folder, 0)?;
    let (mut bundle, first) = load(&policy, None)?;
    let mut reloads = Vec::new();
    for version in 1..=LOADS {
        write(folder, version)?;
        let (next, took) = load(&policy, Some(&bundle))?;
        ensure!(next.digest() != bundle.digest(), "the same again");
        bundle = next;
        reloads.push(took);
    }
    reloads.sort_by(f64::total_cmp);
    let reload = reloads.get(LOADS / 2).copied().context("no reload")?;
    let (_same, unchanged) = load(&policy, Some(&bundle))?;
    // As the agent does then.
    memory::give_back();
    let resident = resident_bytes()? - before;
    let mut times: Vec<f64> = (0..LOADS).map(|_| lookups(&bundle)).collect::<Result<_>>()?;
    times.sort_by(f64::total_cmp);
    let lookup = times.get(LOADS / 2).copied().context("no lookup")?;
    let names = f64::from(u32::try_from(NAMES)?);
    let text: usize = (0..NAMES).map(|number| name(number).len()).sum();
    let text = f64::from(u32::try_from(text)?);
    let per_name = (resident - text) / names;
    println!(
        "{}",
        serde_json::json!({
            "file_bytes": bytes, "first_ms": first, "reload_ms": reload, "unchanged_ms": unchanged,
            "lookup_ns": lookup, "bytes_per_name": per_name,
        })
    );
    Ok(())
}
