//! A report for people: who tried to reach what, when, by which process, and how many bytes went.
//!
//! `collect` adds records up, in memory that distinct rows bound; `html` and `markdown` show the sums. Every text of a
//! record may be hostile: the types of both renderers take no text that is not escaped.
//!
//! Invariant: nothing is counted twice, and the totals count everything, whatever the tables have room for.

mod collect;
mod html;
mod markdown;
mod table;
mod text;
mod timeline;
mod who;

pub use collect::Report;

use crate::events::read::{self, ReadError, Source};

/// Rows of the table of who tried to reach what.
const ATTEMPTS: usize = 200;
/// Rows of the tables of destinations and processes.
const TOP: usize = 25;

/// Reads records and adds them up.
///
/// # Errors
/// [`ReadError`] where a source cannot be read.
pub fn report(sources: &[Source]) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let passed_over = read::read(sources, |entry| report.add(&entry))?;
    report.warn(passed_over.warnings());
    Ok(report)
}

/// The report as one page that needs nothing else: no script, no network.
#[must_use]
pub fn to_html(report: &Report) -> String {
    html::page(report)
}

/// The report as GitHub and GitLab show Markdown.
#[must_use]
pub fn to_markdown(report: &Report) -> String {
    markdown::page(report)
}

#[cfg(test)]
mod tests;
