//! `--suggest`: a profile that allows exactly what was seen.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, OpenOptions},
    path::Path,
};

use super::{error::RunError, summary::printable};
use crate::{
    pod::account::Account,
    policy::{HostName, Observation, suggest},
};

/// Name of the suggested profile.
const NAME: &str = "suggested";

/// Makes sure before the run that the suggestion can be written after it.
pub(super) fn check_writable(path: &Path) -> Result<(), RunError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map(drop)
        .map_err(RunError::path("opening the file for the suggested profile", path))
}

/// Writes the profile.
pub(super) fn write(path: &Path, accounts: &[Account]) -> Result<(), RunError> {
    fs::write(path, render(accounts)).map_err(RunError::path("writing the suggested profile", path))
}

fn render(accounts: &[Account]) -> String {
    let observations: Vec<Observation> = accounts.iter().flat_map(Account::observations).collect();
    let mut text = suggest(NAME, &observations);
    let reached: BTreeSet<&str> = observations
        .iter()
        .filter_map(|observation| observation.host.as_ref().map(HostName::as_str))
        .collect();
    let only_asked: BTreeSet<&str> = accounts
        .iter()
        .filter(|account| account.ip.is_none())
        .flat_map(|account| account.hosts.iter().map(String::as_str))
        .filter(|name| !reached.contains(name))
        .collect();
    if !only_asked.is_empty() {
        text.push_str("# Asked for and never connected to; add those that are wanted:\n");
        for name in only_asked {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "#   {}", printable(name));
        }
    }
    text
}
