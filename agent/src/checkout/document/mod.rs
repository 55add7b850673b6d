//! Structured files as their leaves: every text with the keys that lead to it and its line.
//!
//! One shape for JSON, TOML, YAML and XML keeps the readers of the many formats short: each picks the leaves it
//! knows by their keys and leaves the rest.
//!
//! Invariant: reading is bounded by the text: nesting has a limit, and nothing in a text is multiplied (aliases and
//! entities are not followed).

mod json;
mod lines;
#[cfg(test)]
mod tests;
mod toml;
mod xml;
mod yaml;

pub(super) use self::json::json;
pub(super) use self::toml::toml;
pub(super) use self::xml::xml;
pub(super) use self::yaml::yaml;

/// How deep maps and lists may nest.
const NESTING: usize = 100;

/// A text in a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf<'a> {
    /// The keys that lead to it, outermost first. An entry of a list has the keys of its list.
    pub(super) keys: &'a [String],
    pub(super) text: &'a str,
    /// From 1.
    pub(super) line: usize,
    /// A number of the map that it stands in: leaves beside each other have the same.
    pub(super) map: usize,
}

/// What a reader does with each leaf, in the order of the document or of its keys.
pub(super) type Take<'a> = dyn FnMut(Leaf<'_>) + 'a;

/// The text violates the grammar of its format; what was read before was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no valid {format} (line {line})")]
pub(super) struct Malformed {
    pub(super) format: &'static str,
    /// From 1.
    pub(super) line: usize,
}

impl Leaf<'_> {
    /// Whether its keys are these; `*` stands for any one key.
    pub(super) fn is(&self, keys: &[&str]) -> bool {
        self.keys.len() == keys.len()
            && self.keys.iter().zip(keys).all(|(found, wanted)| *wanted == "*" || found == wanted)
    }

    /// Whether its keys end like this; `*` stands for any one key.
    pub(super) fn ends(&self, keys: &[&str]) -> bool {
        self.keys
            .len()
            .checked_sub(keys.len())
            .and_then(|from| self.keys.get(from..))
            .is_some_and(|end| Leaf { keys: end, ..*self }.is(keys))
    }

    /// The innermost key.
    pub(super) fn key(&self) -> &str {
        self.keys.last().map_or("", String::as_str)
    }
}
