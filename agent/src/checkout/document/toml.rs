//! TOML, by the crate toml, which bounds the nesting.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::lines::Lines;
use super::{Leaf, Malformed, Take};

/// Takes every text and every `true` and `false` of a TOML document, in the order of the keys.
pub(in crate::checkout) fn toml(text: &str, take: &mut Take<'_>) -> Result<(), Malformed> {
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| Malformed {
        format: "TOML",
        line: error.span().map_or(1, |span| lines.at(span.start)),
    })?;
    let mut walk = Walk { lines, keys: Vec::new(), maps: 0, take };
    walk.table(document.get_ref());
    Ok(())
}

struct Walk<'w, 't> {
    lines: Lines,
    keys: Vec<String>,
    maps: usize,
    take: &'w mut Take<'t>,
}

impl Walk<'_, '_> {
    fn table(&mut self, table: &DeTable<'_>) {
        self.maps += 1;
        let map = self.maps;
        for (key, value) in table {
            self.keys.push(key.get_ref().clone().into_owned());
            self.value(value, map);
            self.keys.pop();
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, map: usize) {
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            DeValue::Array(entries) => {
                for entry in entries {
                    self.value(entry, map);
                }
                return;
            }
            DeValue::Table(table) => return self.table(table),
            _ => return,
        };
        let line = self.lines.at(value.span().start);
        (self.take)(Leaf { keys: &self.keys, text, line, map });
    }
}
