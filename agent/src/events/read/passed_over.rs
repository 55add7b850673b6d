//! What could not be used of the files that were read, by its fault.

use std::{collections::BTreeMap, fmt};

use super::lines::LINE_BYTES;
use crate::events::record::SCHEMA_VERSION;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Not JSON, or not a record's.
    NoRecord,
    /// Longer than [`LINE_BYTES`].
    TooLong,
    /// A record of a newer schema.
    Newer,
    /// A record that says things which its schema does not have.
    NotUnderstood,
    /// A last line without its end.
    CutOff,
}

/// The lines of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lines {
    count: u64,
    /// File and line number of the first.
    first: (String, u64),
}

/// All that was passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    faults: BTreeMap<Fault, Lines>,
    /// First sights that were not remembered, so that their flows count them once more.
    pub(super) untold_repeats: u64,
}

impl PassedOver {
    pub(super) fn add(&mut self, fault: Fault, file: &str, line: u64) {
        let lines = self
            .faults
            .entry(fault)
            .or_insert_with(|| Lines { count: 0, first: (file.to_owned(), line) });
        lines.count += 1;
    }

    /// How many lines have this fault.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).map_or(0, |lines| lines.count)
    }

    /// One sentence for each fault.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .faults
            .iter()
            .map(|(fault, lines)| {
                let (file, line) = &lines.first;
                let which = if lines.count == 1 { "" } else { "the first is " };
                format!("{}: {which}{file}:{line}", Described(*fault, lines.count))
            })
            .collect();
        if self.untold_repeats > 0 {
            warnings.push(format!(
                "too many refusals are open at once: up to {} of them are counted twice",
                self.untold_repeats
            ));
        }
        warnings
    }
}

/// A fault and the number of its lines, in words.
struct Described(Fault, u64);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(fault, count) = self;
        let (lines, are) = if *count == 1 { ("line", "is") } else { ("lines", "are") };
        write!(f, "{count} {lines} ")?;
        match fault {
            Fault::NoRecord => write!(f, "{are} no event record"),
            Fault::TooLong => write!(f, "{are} longer than {} KiB", LINE_BYTES / 1024),
            Fault::Newer => write!(
                f,
                "{are} of a newer schema than {SCHEMA_VERSION}, which this version of weir cannot read"
            ),
            Fault::NotUnderstood => {
                write!(f, "{are} no valid record of schema {SCHEMA_VERSION}")
            }
            Fault::CutOff => write!(f, "{are} cut off at the end of a file"),
        }
    }
}
