//! The findings as text for people and as JSON for machines.

use std::fmt::Write as _;

use super::check::{Check, State, exit_code};

/// One line for each check, what gets weaker and what to do below it, and a last line that sums up.
#[must_use]
pub fn to_text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.title.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { title, state, found, consequence, remedy, .. } in checks {
        let state = match state {
            State::Ok => "ok",
            State::Weaker => "weaker",
            State::Missing => "missing",
        };
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{state:<7}  {title:<width$}  {found}");
        let indent = " ".repeat(9 + width + 2);
        if let Some(consequence) = consequence {
            let _infallible = writeln!(text, "{indent}means: {consequence}");
        }
        if let Some(remedy) = remedy {
            let _infallible = writeln!(text, "{indent}do:    {remedy}");
        }
    }
    text.push('\n');
    text.push_str(&summary(checks));
    text.push('\n');
    text
}

fn summary(checks: &[Check]) -> String {
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let weaker = count(State::Weaker);
    match exit_code(checks) {
        0 => "weir can enforce here".to_owned(),
        1 => format!("weir can enforce here; {weaker} of {} checks found it weaker", checks.len()),
        _ => format!(
            "weir cannot enforce here, or it could not be told: {} of {} checks found something missing",
            count(State::Missing),
            checks.len()
        ),
    }
}

/// An array with one object for each check; each has all keys.
///
/// # Errors
///
/// None that strings could cause.
pub fn to_json(checks: &[Check]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(checks).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Subject;

    fn checks() -> Vec<Check> {
        vec![
            Subject::new("kernel", "kernel").ok("6.18.44"),
            Subject::new("lsm", "modules").ok("on"),
            Subject::new("jit", "BPF compiler").weaker("off", "slower", "turn it \"on\""),
        ]
    }

    #[test]
    fn text_is_a_table() {
        assert_eq!(
            to_text(&checks()),
            "ok       kernel        6.18.44\n\
             ok       modules       on\n\
             weaker   BPF compiler  off\n\
             \x20                      means: slower\n\
             \x20                      do:    turn it \"on\"\n\
             \n\
             weir can enforce here; 1 of 3 checks found it weaker\n"
        );
    }

    #[test]
    fn the_last_line_says_what_it_comes_to() {
        let last = |checks: &[Check]| to_text(checks).lines().last().unwrap().to_owned();
        assert_eq!(last(&checks()[..2]), "weir can enforce here");
        let mut all = checks();
        all.push(Subject::new("a", "a").unchecked());
        assert!(last(&all).ends_with("1 of 4 checks found something missing"), "{}", last(&all));
    }

    #[test]
    fn json_is_an_array_of_objects_with_every_key() {
        let value: serde_json::Value = serde_json::from_str(&to_json(&checks()).unwrap()).unwrap();
        assert_eq!(
            value,
            serde_json::json!([
                { "id": "kernel", "title": "kernel", "state": "ok", "found": "6.18.44",
                  "consequence": null, "remedy": null },
                { "id": "lsm", "title": "modules", "state": "ok", "found": "on",
                  "consequence": null, "remedy": null },
                { "id": "jit", "title": "BPF compiler", "state": "weaker", "found": "off",
                  "consequence": "slower", "remedy": "turn it \"on\"" },
            ])
        );
    }
}
