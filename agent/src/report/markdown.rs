//! The report as Markdown, in the tables that GitHub and GitLab know.
//!
//! Text of records stands in code spans, where nothing is markup, a link, or a mention of somebody.

use std::fmt::Write as _;

use super::{
    ATTEMPTS, Report, TOP,
    table::{Shown, Tally},
    who::Who,
};
use crate::{identity::told::Told, run::summary::bytes, system::utc};

/// Markdown under construction. What is not in this program's source goes in by [`Markdown::text`] alone.
#[derive(Debug, Default)]
struct Markdown(String);

impl Markdown {
    /// Adds markup of the program's own.
    fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        // Writing to a string cannot fail.
        write!(self.0, "{number}").unwrap_or_default();
        self
    }

    /// Adds text as a code span that stays one in a cell of a table.
    fn text(&mut self, text: &str) -> &mut Self {
        // A bar ends a cell even within code, and no escape of it is the same everywhere.
        let text = text.replace('|', "\\u{7c}");
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest + 1);
        // One space each side is taken off again; without it a text could not begin or end with a backtick, and an empty
        // one would be no span.
        let space = if longest > 0 || text.trim().is_empty() { " " } else { "" };
        let shown = if text.is_empty() { "-" } else { text.as_str() };
        for part in [&fence, space, shown, space, &fence] {
            self.0.push_str(part);
        }
        self
    }

    /// Ends a cell.
    fn cell(&mut self) -> &mut Self {
        self.raw(" | ")
    }
}

/// The whole report.
pub(super) fn page(report: &Report) -> String {
    let mut page = Markdown::default();
    page.raw("# Egress report\n\n");
    if let Some((first, last)) = report.span {
        page.text(&utc::format(first)).raw(" to ").text(&utc::format(last)).raw(". ");
    }
    page.raw("Records: ").number(report.records).raw(".\n\n");
    let lost = (report.lost > 0).then(|| {
        format!("weir could not record {} events: what is shown may not be all.", report.lost)
    });
    for warning in report.warnings.iter().chain(&lost) {
        page.raw("> Warning: ").text(warning).raw("\n\n");
    }
    let total = &report.total;
    page.raw("| refused | audited | allowed | sent | received |\n| ---: | ---: | ---: | ---: | ---: |\n| ");
    sums(&mut page, total);
    attempts(&mut page, report);
    reasons(&mut page, report);
    page.raw("\n## Top destinations\n\n| destination | port | refused | audited | allowed | sent | received |\n");
    page.raw("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
    let shown = report.destinations.top(TOP, Tally::bytes);
    for (to, tally) in &shown.rows {
        page.raw("| ").text(to.host()).cell().text(&to.port()).cell();
        sums(&mut page, tally);
    }
    more(&mut page, &shown);
    page.raw("\n## Top processes\n\n| process | refused | audited | allowed | sent | received |\n");
    page.raw("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    let shown = report.processes.top(TOP, |tally| (tally.bytes(), tally.count()));
    for (process, tally) in &shown.rows {
        page.raw("| ").text(process).cell();
        sums(&mut page, tally);
    }
    more(&mut page, &shown);
    page.0
}

fn attempts(page: &mut Markdown, report: &Report) {
    page.raw("\n## Who tried to reach what\n\n");
    page.raw("| who | destination | port | verdict | reason | process | count | jobs | last |\n");
    page.raw("| --- | --- | --- | --- | --- | --- | ---: | ---: | --- |\n");
    let shown = report.attempts.top(ATTEMPTS, |tally| (tally.refused, tally.audited));
    for (attempt, tally) in &shown.rows {
        page.raw("| ");
        who(page, &attempt.who);
        page.cell().text(attempt.to.host()).cell().text(&attempt.to.port()).cell();
        page.text(&attempt.verdict.to_string()).cell().text(attempt.reason).cell();
        page.text(&attempt.process).cell().number(tally.count()).cell();
        page.text(&tally.jobs.describe()).cell();
        page.text(&tally.span.map_or_else(String::new, |(_, last)| utc::format(last))).raw(" |\n");
    }
    more(page, &shown);
}

fn who(page: &mut Markdown, who: &Who) {
    match who {
        Who::Job { project, job } => {
            told(page, project);
            if let Some(job) = job {
                page.raw(", ");
                told(page, job);
            }
        }
        Who::Namespace(name) => {
            page.raw("namespace ").text(name);
        }
        Who::Machine(name) => {
            page.raw("machine ").text(name);
        }
    }
}

fn told(page: &mut Markdown, told: &Told<String>) {
    page.text(told.value());
    if matches!(told, Told::Claim(_)) {
        page.raw(" (the job's word)");
    }
}

fn reasons(page: &mut Markdown, report: &Report) {
    page.raw("\n## Reasons\n\n| reason | refused | audited |\n| --- | ---: | ---: |\n");
    for (reason, tally) in &report.reasons {
        page.raw("| ").text(reason).cell().number(tally.refused).cell().number(tally.audited);
        page.raw(" |\n");
    }
}

fn sums(page: &mut Markdown, tally: &Tally) {
    page.number(tally.refused).cell().number(tally.audited).cell().number(tally.allowed).cell();
    page.text(&bytes(tally.bytes_up)).cell().text(&bytes(tally.bytes_down)).raw(" |\n");
}

fn more<K>(page: &mut Markdown, shown: &Shown<'_, K>) {
    if shown.rows.is_empty() {
        page.raw("\nNothing.\n");
    }
    if shown.more > 0 {
        page.raw("\nAnd ").number(u64::try_from(shown.more).unwrap_or(u64::MAX)).raw(" more.\n");
    }
    if let Some(rest) = shown.rest {
        page.raw("\nMore than could be told apart: ").number(rest.refused).raw(" refused, ");
        page.number(rest.audited).raw(" audited, ").number(rest.allowed).raw(" allowed.\n");
    }
}

#[cfg(test)]
mod tests;
