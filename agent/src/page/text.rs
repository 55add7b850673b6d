//! A report for people, who read it in the log of a job.

use std::fmt::Write as _;

use super::report::{Program, Refusal, Report, SUGGESTED};
use crate::{
    events::record::{PodInfo, RecordVerdict},
    policy::Mode,
};

/// Destinations that are shown; the rest are counted in one line.
const ROWS: usize = SUGGESTED;
/// The widest that a cell may be: a name can have 253 characters.
const CELL: usize = 60;

const HEADINGS: [&str; 6] = ["DESTINATION", "PORT", "VERDICT", "RULE", "COUNT", "PROCESS"];

type Row = [String; HEADINGS.len()];

/// The report as lines of text. What comes from the job is printable ASCII.
pub(super) fn render(report: &Report) -> String {
    let mut text = head(report);
    if !report.refusals.is_empty() {
        text.push('\n');
        text.push_str(&table(&report.refusals));
    }
    let shown = u64::try_from(report.refusals.len().min(ROWS)).unwrap_or(u64::MAX);
    let listed = u64::try_from(report.refusals.len()).unwrap_or(u64::MAX);
    let more = report.omitted + listed - shown;
    if more > 0 {
        line(&mut text, &format!("and {more} more"));
    }
    if let Some(rules) = &report.suggestion {
        line(&mut text, "\nAsk for what the job needs. In the profile it would read:\n\n  allow:");
        text.push_str(rules);
    }
    if let Some(help) = report.help.as_ref().filter(|_| report.refused + report.audited > 0) {
        line(&mut text, &format!("\n{}", help.trim_end()));
    }
    text
}

fn head(report: &Report) -> String {
    let mode = match report.profile.mode {
        Mode::Block => "block",
        Mode::Audit => "audit",
    };
    let profile = printable(&report.profile.name);
    let whose = report.pod.as_ref().map_or_else(String::new, |pod: &PodInfo| {
        format!(", pod {}/{}", printable(&pod.namespace), printable(&pod.name))
    });
    let refused = match report.refused {
        0 => "nothing was refused".to_owned(),
        1 => "1 attempt was refused".to_owned(),
        refused => format!("{refused} attempts were refused"),
    };
    let audited = match (report.audited, report.profile.mode) {
        (0, _) => String::new(),
        (audited, Mode::Audit) => {
            format!("; {audited} would be, and passed because of audit mode")
        }
        (audited, Mode::Block) => format!("; {audited} passed while the mode was audit"),
    };
    format!("weir: {refused}{audited}\nprofile {profile}, mode {mode}{whose}\n")
}

fn table(refusals: &[Refusal]) -> String {
    let rows: Vec<Row> = refusals.iter().take(ROWS).map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&HEADINGS.map(str::to_owned)).chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(&mut text, cells.join("  ").trim_end());
    }
    text
}

fn row(refusal: &Refusal) -> Row {
    let destination = &refusal.destination;
    let host = destination.host.clone().or_else(|| destination.ip.map(|ip| ip.to_string()));
    let port = destination
        .port
        .map_or_else(|| destination.proto.clone(), |port| format!("{port}/{}", destination.proto));
    let verdict = match refusal.verdict {
        RecordVerdict::Audit => "audited",
        RecordVerdict::Allow | RecordVerdict::Block => "refused",
    };
    let process = refusal.process.as_ref().map_or_else(|| "unknown".to_owned(), program);
    [
        host.unwrap_or_else(|| "?".to_owned()),
        port,
        format!("{verdict}: {}", refusal.reason.0.as_str()),
        refusal.rule_id.clone(),
        refusal.count.to_string(),
        process,
    ]
    .map(|cell| short(printable(&cell)))
}

fn program(program: &Program) -> String {
    match &program.binary {
        Some(binary) => format!("{} ({binary})", program.comm),
        None => program.comm.clone(),
    }
}

/// Text of the job: what could move a cursor, end a line or look like another letter is shown by its number.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            ' '..='~' => out.push(character),
            _ => out.extend(character.escape_default()),
        }
    }
    out
}

/// Its beginning, as far as there is room. Must be ASCII.
fn short(mut text: String) -> String {
    if text.len() > CELL {
        text.truncate(CELL - 3);
        text.push_str("...");
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests;
