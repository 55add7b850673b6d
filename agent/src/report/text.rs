//! Text of records, made short and visible before it is kept.

use crate::yaml::Printable;

/// The longest text that is kept and shown, in characters; names of hosts are not longer.
const LONGEST: usize = 256;

/// The text with invisible characters shown, cut where it is longer than anybody reads.
pub(super) fn short(text: &str) -> String {
    // Each character becomes at least one: what is behind these is cut anyway.
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
    let head = text.get(..end).unwrap_or(text);
    let mut out = Printable(head).to_string();
    if let Some((at, _)) = out.char_indices().nth(LONGEST) {
        out.truncate(at);
        out.push('…');
    } else if end < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn invisible_characters_are_shown() {
        assert_eq!(short("a\u{1b}[31m\n\u{202e}é"), "a\\u{1b}[31m\\n\\u{202e}é");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(short(&"é".repeat(256)), "é".repeat(256));
        assert_eq!(short(&"é".repeat(257)), "é".repeat(256) + "…");
        assert_eq!(short(&"\u{1b}".repeat(64 * 1024)).chars().count(), 257);
    }
}
