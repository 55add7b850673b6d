//! Markup that holds no text but escaped text.

use std::fmt::Write as _;

/// HTML under construction. What is not in this program's source goes in by [`Markup::text`] alone.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Adds markup of the program's own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, escaped so that it is text between tags and in quoted attributes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // No parser leaves it as it is.
                '\0' => self.0.push('\u{fffd}'),
                _ => self.0.push(character),
            }
        }
        self
    }

    /// Adds a number.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        // Writing to a string cannot fail.
        write!(self.0, "{number}").unwrap_or_default();
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Markup;

    #[test]
    fn text_stays_text() {
        let mut markup = Markup::default();
        markup.raw("<b title=\"").text("\"'><script>&amp;\0").raw("\">").number(7).raw("</b>");
        assert_eq!(
            markup.into_string(),
            "<b title=\"&quot;&#39;&gt;&lt;script&gt;&amp;amp;\u{fffd}\">7</b>"
        );
    }
}
