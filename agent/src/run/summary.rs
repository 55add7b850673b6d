//! The table at the end, for a person.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, io};

use weir_ebpf::{flow::Outcome, pod::PodCounters};

use crate::{
    events::record::protocol_name,
    pod::account::Account,
    policy::{Mode, Profile},
};

/// Rows that are shown; the rest are counted in one line.
const ROWS: usize = 50;

const HEADINGS: [&str; 7] =
    ["DESTINATION", "PORT", "VERDICT", "COUNT", "SENT", "RECEIVED", "PROCESS"];

/// Prints to standard error what was reached and what was refused.
pub(super) fn print(
    profile: &Profile,
    accounts: &[Account],
    counters: &PodCounters,
    kept_capabilities: bool,
) {
    let text = render(profile, accounts, counters, kept_capabilities);
    // A closed standard error is no reason to fail the run.
    let _unread = io::Write::write_all(&mut io::stderr().lock(), text.as_bytes());
}

fn render(
    profile: &Profile,
    accounts: &[Account],
    counters: &PodCounters,
    kept_capabilities: bool,
) -> String {
    let mode = match profile.mode() {
        Mode::Block => "block",
        Mode::Audit => "audit",
    };
    let mut text = format!("\nweir: profile {}, mode {mode}\n", printable(profile.name()));
    let rows = rows(accounts);
    if rows.is_empty() {
        text.push_str("weir: no network use\n");
    } else {
        text.push_str(&table(&rows));
    }
    let refused = rows.iter().filter(|row| row.outcome == Outcome::Blocked).count();
    let audited = rows.iter().filter(|row| row.outcome == Outcome::Audited).count();
    if refused + audited > 0 {
        let _infallible = writeln!(text, "weir: {refused} refused, {audited} audited");
    }
    let lost = counters.lost_events + counters.lost_flows;
    if lost > 0 {
        let _infallible =
            writeln!(text, "weir: {lost} events or counts did not fit and are not shown");
    }
    if kept_capabilities {
        text.push_str(
            "weir: --keep-caps: the command could leave its cgroup, detach weir's programs and send raw \
             packets; nothing above is certain\n",
        );
    }
    text
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    destination: String,
    port: String,
    verdict: String,
    outcome: Outcome,
    count: u64,
    up: u64,
    down: u64,
    process: String,
}

/// One row for each destination, port, verdict and process name; refused ones first.
fn rows(accounts: &[Account]) -> Vec<Row> {
    let mut rows: BTreeMap<(u8, String, String, String, String), Row> = BTreeMap::new();
    for account in accounts {
        let destination = destination(account);
        let port = match account.protocol {
            None => "dns".to_owned(),
            Some(number) if account.port == 0 => protocol_name(number),
            Some(number) => format!("{}/{}", account.port, protocol_name(number)),
        };
        let verdict = match (account.outcome, account.reason) {
            (Outcome::Allowed, _) => format!("allow ({})", printable(account.rule_id())),
            (Outcome::Blocked, reason) => {
                format!("BLOCK {}", reason.map_or("", weir_ebpf::reason::Reason::as_str))
            }
            (Outcome::Audited, reason) => {
                format!("AUDIT {}", reason.map_or("", weir_ebpf::reason::Reason::as_str))
            }
        };
        let process = printable(&account.process.comm);
        let order = match account.outcome {
            Outcome::Blocked => 0,
            Outcome::Audited => 1,
            Outcome::Allowed => 2,
        };
        let key = (order, destination.clone(), port.clone(), verdict.clone(), process.clone());
        let row = rows.entry(key).or_insert_with(|| Row {
            destination,
            port,
            verdict,
            outcome: account.outcome,
            count: 0,
            up: 0,
            down: 0,
            process,
        });
        row.count += account.count;
        row.up += account.bytes_up;
        row.down += account.bytes_down;
    }
    rows.into_values().collect()
}

fn destination(account: &Account) -> String {
    match (account.hosts.last(), account.ip) {
        (Some(host), Some(ip)) => format!("{} ({ip})", printable(host)),
        (Some(host), None) => printable(host),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => "?".to_owned(),
    }
}

fn table(rows: &[Row]) -> String {
    let cells: Vec<[String; 7]> = rows
        .iter()
        .take(ROWS)
        .map(|row| {
            [
                row.destination.clone(),
                row.port.clone(),
                row.verdict.clone(),
                row.count.to_string(),
                bytes(row.up),
                bytes(row.down),
                row.process.clone(),
            ]
        })
        .collect();
    let mut widths = HEADINGS.map(str::len);
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line_of(&HEADINGS.map(str::to_owned), &widths);
    for line in &cells {
        text.push_str(&line_of(line, &widths));
    }
    if rows.len() > ROWS {
        let _infallible = writeln!(text, "… and {} more", rows.len() - ROWS);
    }
    text
}

fn line_of(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    format!("{}\n", padded.join("  ").trim_end())
}

/// Bytes in units of 1024.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = "KiB";
    for next in UNITS.iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// Text from a job is data: what could move a cursor or end a line is shown, not obeyed.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
