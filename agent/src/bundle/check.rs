//! `weir policy check`: reads profile files and policy folders and says of each what is in it or what is wrong.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Bundle;
use crate::config::{self, DENY_ALL};
use crate::policy::{Chain, Profile, Source};
use crate::yaml::Printable;

/// Checks every file and folder; a line for each good profile goes to `out`, errors go to `errors`. Returns whether
/// everything is good.
///
/// # Errors
/// Only when `out` or `errors` cannot be written.
pub fn check(
    paths: &[PathBuf],
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<bool, io::Error> {
    let mut all_good = true;
    for path in paths {
        let told = if path.is_dir() { folder(path) } else { file(path) };
        match told {
            Ok(lines) => write!(out, "{lines}")?,
            Err(message) => {
                all_good = false;
                writeln!(errors, "{message}")?;
            }
        }
    }
    Ok(all_good)
}

/// A file by itself; what it includes is not looked at.
fn file(path: &Path) -> Result<String, String> {
    let source = Source::from_file(path).map_err(|error| Chain(&error).to_string())?;
    let document = source.read().map_err(|error| Chain(&error).to_string())?;
    let mut line = told(path, document.profile());
    if !document.include().is_empty() {
        line.push_str("; what it includes is checked with its folder alone");
    }
    Ok(line + "\n")
}

fn folder(path: &Path) -> Result<String, String> {
    // Whether annotations are trusted is the agent's configuration's business: `weir agent --check-config`.
    let trust = config::Gitlab { trust_annotations: true, trust_labels: true };
    let policy = config::Policy {
        dir: path.to_owned(),
        default: DENY_ALL.to_owned(),
        ..config::Config::default().policy
    };
    let bundle = Bundle::load(&policy, trust, None).map_err(|error| Chain(&error).to_string())?;
    let profiles = bundle.profiles().filter(|profile| profile.name() != DENY_ALL);
    let lines = profiles.map(|profile| told(path, profile) + "\n").collect::<String>();
    let shown = path.to_string_lossy();
    Ok(format!("{lines}{}: OK: bundle {}\n", Printable(&shown), bundle.digest()))
}

fn told(path: &Path, profile: &Profile) -> String {
    let counts = profile.counts();
    format!(
        "{}: OK: profile {} ({}); rules: {}, names: {}, wildcards: {}, prefixes: {}, denied: {}",
        Printable(&path.to_string_lossy()),
        profile.name(),
        profile.mode().as_str(),
        counts.rules,
        counts.names,
        counts.wildcards,
        counts.prefixes,
        counts.denied,
    )
}

#[cfg(test)]
mod tests;
