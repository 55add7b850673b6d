//! apt: package sources in both forms of sources.list(5).

use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

/// One source a line: `deb [options] URI suite component…`.
pub(super) fn list(text: &str, notes: &mut Notes<'_>) {
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or(content).trim();
        let Some(rest) = content.strip_prefix("deb-src").or_else(|| content.strip_prefix("deb"))
        else {
            continue;
        };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        if let Some(uri) = rest.split_whitespace().next() {
            notes.url(Purpose::Apt, uri, line);
        }
    }
}

/// Stanzas of fields; `URIs` may hold several, on several lines.
pub(super) fn deb822(text: &str, notes: &mut Notes<'_>) {
    let mut stanza = Stanza::default();
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim().is_empty() {
            std::mem::take(&mut stanza).note(notes);
        } else if !content.starts_with('#') {
            stanza.line(content, line);
        }
    }
    stanza.note(notes);
}

#[derive(Debug, Default)]
struct Stanza {
    uris: Vec<(String, usize)>,
    is_off: bool,
    in_uris: bool,
}

impl Stanza {
    fn line(&mut self, content: &str, line: usize) {
        let value = if content.starts_with([' ', '\t']) {
            content
        } else {
            let Some((field, value)) = content.split_once(':') else { return };
            self.in_uris = field.eq_ignore_ascii_case("URIs");
            let off = ["no", "false", "without", "off", "disable"];
            self.is_off |= field.eq_ignore_ascii_case("Enabled")
                && off.iter().any(|word| value.trim().eq_ignore_ascii_case(word));
            value
        };
        if self.in_uris {
            self.uris.extend(value.split_whitespace().map(|uri| (uri.to_owned(), line)));
        }
    }

    fn note(self, notes: &mut Notes<'_>) {
        if !self.is_off {
            for (uri, line) in self.uris {
                notes.url(Purpose::Apt, &uri, line);
            }
        }
    }
}
