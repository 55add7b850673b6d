//! `weir policy check`: reads profile files and says of each what is in it or what is wrong.

use std::io::{self, Write};
use std::path::PathBuf;

use super::error::Chain;
use super::profile::Profile;
use crate::yaml::Printable;

/// Checks every file; a line for each good one goes to `out`, errors go to `errors`. Returns whether
/// all files are good.
///
/// # Errors
/// Only when `out` or `errors` cannot be written.
pub fn check(
    files: &[PathBuf],
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<bool, io::Error> {
    let mut all_good = true;
    for file in files {
        match Profile::from_file(file) {
            Ok(profile) => {
                let path = file.to_string_lossy();
                writeln!(out, "{}: OK: {}", Printable(&path), summary(&profile))?;
            }
            Err(error) => {
                all_good = false;
                writeln!(errors, "{}", Chain(&error))?;
            }
        }
    }
    Ok(all_good)
}

fn summary(profile: &Profile) -> String {
    let counts = profile.counts();
    format!(
        "profile {} ({}); rules: {}, names: {}, wildcards: {}, prefixes: {}, denied: {}",
        profile.name(),
        profile.mode().as_str(),
        counts.rules,
        counts.names,
        counts.wildcards,
        counts.prefixes,
        counts.denied,
    )
}
