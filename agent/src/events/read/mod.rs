//! Reads records back from the files that they were written to, one line at a time.
//!
//! Files come as log pipelines leave them: other programs' lines between the records, a last line that is cut off,
//! records of a newer weir. Such lines are passed over, counted by their fault, and said. Only a file that cannot be
//! opened or read is an error.
//!
//! Invariant: memory does not grow with the number of lines. One line is held, no further than [`LINE_BYTES`], and
//! `first_sight` has a bound of its own.

mod first_sight;
mod lines;
mod passed_over;
mod source;

use std::{
    io::BufRead,
    time::{Duration, SystemTime},
};

use serde::Deserialize;

use self::{
    first_sight::FirstSights,
    lines::{Line, Lines},
};
use super::record::{Record, SCHEMA_VERSION};

pub use self::{
    lines::LINE_BYTES,
    passed_over::{Fault, PassedOver},
    source::{ReadError, Source},
};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

/// One record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// When it, or the last of what it counts, happened.
    pub at: SystemTime,
    /// When the first of what it counts happened.
    pub since: SystemTime,
    /// What of the record's `count` no record has told of before: a `flow` counts once more what its `violation` told of.
    pub fresh: u64,
}

/// Reads all records of the sources, in their order, and gives each to `visit`.
///
/// # Errors
/// [`ReadError`] where a source cannot be opened or read.
pub fn read(sources: &[Source], mut visit: impl FnMut(Entry)) -> Result<PassedOver, ReadError> {
    let mut reader = Reader::default();
    for source in sources {
        let opened = source.open()?;
        reader
            .read(&source.to_string(), opened, &mut visit)
            .map_err(|error| source.failed(error))?;
    }
    reader.passed_over.untold_repeats = reader.first_sights.not_remembered();
    Ok(reader.passed_over)
}

#[derive(Debug, Default)]
struct Reader {
    first_sights: FirstSights,
    passed_over: PassedOver,
}

impl Reader {
    fn read(
        &mut self,
        name: &str,
        input: impl BufRead,
        visit: &mut impl FnMut(Entry),
    ) -> std::io::Result<()> {
        let mut lines = Lines::new(input);
        let mut number: u64 = 0;
        while let Some(line) = lines.next()? {
            number += 1;
            let found = match line {
                Line::TooLong => Err(Fault::TooLong),
                Line::Whole(bytes) => self.entry(bytes),
                Line::Last(bytes) => self.entry(bytes).map_err(|fault| match fault {
                    Fault::NoRecord => Fault::CutOff,
                    other => other,
                }),
            };
            match found {
                Ok(Some(entry)) => visit(entry),
                Ok(None) => {}
                Err(fault) => self.passed_over.add(fault, name, number),
            }
        }
        Ok(())
    }

    /// The record of a line; none where the line is empty.
    fn entry(&mut self, line: &[u8]) -> Result<Option<Entry>, Fault> {
        // What a pipeline broke inside a text costs that text, not the record.
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Ok(None);
        }
        let record: Record = serde_json::from_str(text).map_err(|_error| fault(text))?;
        if record.schema != SCHEMA_VERSION {
            return Err(fault_of_schema(record.schema.into()));
        }
        let at = humantime::parse_rfc3339(&record.ts).map_err(|_error| Fault::NotUnderstood)?;
        let lasted = Duration::from_millis(record.duration_ms.unwrap_or(0));
        let since = at.checked_sub(lasted).unwrap_or(SystemTime::UNIX_EPOCH);
        // A duration that no clock has run is somebody else's text; times before 1970 have no RFC 3339 here.
        let since = since.max(SystemTime::UNIX_EPOCH);
        let fresh = self.first_sights.fresh(&record);
        Ok(Some(Entry { record, at, since, fresh }))
    }
}

/// Why a text is no record of this version.
fn fault(text: &str) -> Fault {
    /// What every version of the schema has.
    #[derive(Deserialize)]
    struct Head {
        schema: u64,
    }
    let head = serde_json::from_str::<Head>(text);
    head.map_or(Fault::NoRecord, |head| fault_of_schema(head.schema))
}

fn fault_of_schema(schema: u64) -> Fault {
    if schema > SCHEMA_VERSION.into() { Fault::Newer } else { Fault::NotUnderstood }
}
