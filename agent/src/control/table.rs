//! Pods as a table for people and as JSON for machines.

use std::fmt::Write as _;

use super::protocol::PodStatus;
use crate::yaml::Printable;

const HEAD: [&str; 9] =
    ["POD", "PROFILE", "MODE", "STATE", "SINCE", "ENTRIES", "ALLOWED", "REFUSED", "LOST"];
/// The first of the columns that hold numbers, which stand to the right.
const NUMBERS: usize = 5;

/// One line for each pod below a head, in the order given. Control characters are escaped, so that no pod's
/// name can restyle the terminal or look like another's line.
#[must_use]
pub fn to_text(pods: &[PodStatus]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(pods.iter().map(row));
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing to a String cannot fail.
            let _infallible = if at < NUMBERS {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(pod: &PodStatus) -> [String; HEAD.len()] {
    let safe = |text: &str| Printable(text).to_string();
    [
        format!("{}/{}", safe(&pod.namespace), safe(&pod.name)),
        safe(&pod.profile),
        safe(&pod.mode),
        pod.state.as_str().to_owned(),
        safe(&pod.since),
        pod.allow_entries.to_string(),
        pod.allowed.to_string(),
        pod.refused.to_string(),
        pod.lost.to_string(),
    ]
}

/// An array with one object for each pod, in the order given.
///
/// # Errors
///
/// None that strings and numbers could cause.
pub fn to_json(pods: &[PodStatus]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(pods).map(|text| text + "\n")
}
