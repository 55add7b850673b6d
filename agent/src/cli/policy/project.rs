//! `weir policy suggest --project`: a first profile from what a checkout says of itself.

use std::io::{self, Write};
use std::path::Path;

use crate::checkout::{Clients, suggest};
use crate::policy::Chain;

/// Prints the suggested profile, and on `errors` what could not be read.
pub(super) fn run(
    project: &Path,
    name: &str,
    clients: &Clients,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    match suggest(project, name, clients) {
        Ok(suggestion) => {
            for warning in &suggestion.warnings {
                writeln!(errors, "weir: {warning}")?;
            }
            out.write_all(suggestion.text.as_bytes())?;
            Ok(0)
        }
        Err(error) => {
            writeln!(errors, "weir: {}", Chain(&error))?;
            Ok(2)
        }
    }
}

#[cfg(test)]
mod tests;
