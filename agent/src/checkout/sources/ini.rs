//! Lines of `key = value` below `[section]`, as pip, npm and Java's properties write them. git's dialect is its own.

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    /// Without quotes around it.
    pub(super) value: String,
    /// From 1.
    pub(super) line: usize,
}

/// Every setting of `text`. An indented line continues the value of the one before it, as a setting of its own with
/// the same key; lines that are none of these are passed over.
pub(super) fn settings(text: &str) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';', '!', '[']) {
            continue;
        }
        let indented = line.starts_with([' ', '\t']);
        if indented && let Some(last) = settings.last() {
            let key = last.key.clone();
            settings.push(Setting { key, value: unquoted(trimmed), line: number });
        } else if let Some((key, value)) = trimmed.split_once('=') {
            let key = key.trim().to_owned();
            settings.push(Setting { key, value: unquoted(value), line: number });
        } else if let Some((key, value)) = trimmed.split_once(':') {
            let key = key.trim().to_owned();
            settings.push(Setting { key, value: unquoted(value), line: number });
        }
    }
    settings
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        let inside = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inside) = inside {
            return inside.to_owned();
        }
    }
    value.to_owned()
}
