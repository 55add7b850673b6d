//! JSON, by the crate `serde_json`, without building its tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::lines::Lines;
use super::{Leaf, Malformed, Take};

/// Takes every text of a JSON document. The crate itself bounds the nesting.
pub(in crate::checkout) fn json(text: &str, take: &mut Take<'_>) -> Result<(), Malformed> {
    // Some editors of old begin a file with a byte order mark, and clients pass over it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut walk = Walk {
        start: text.as_ptr() as usize,
        lines: Lines::of(text),
        line: 1,
        keys: Vec::new(),
        map: 0,
        maps: 0,
        take,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = walk.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| Malformed { format: "JSON", line: error.line().max(1) })
}

struct Walk<'w, 't> {
    /// Address of the text's first byte.
    start: usize,
    lines: Lines,
    /// Of the last text that stands in the document as it is.
    line: usize,
    keys: Vec<String>,
    map: usize,
    maps: usize,
    take: &'w mut Take<'t>,
}

impl Walk<'_, '_> {
    fn leaf(&mut self, text: &str) {
        (self.take)(Leaf { keys: &self.keys, text, line: self.line, map: self.map });
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        // A text without escapes is lent from the document, so that its address gives its line.
        self.line = self.lines.at((text.as_ptr() as usize).saturating_sub(self.start));
        self.leaf(text);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.leaf(text);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let outer = self.map;
        self.maps += 1;
        self.map = self.maps;
        while let Some(key) = entries.next_key::<String>()? {
            self.keys.push(key);
            entries.next_value_seed(&mut *self)?;
            self.keys.pop();
        }
        self.map = outer;
        Ok(())
    }
}
