//! YAML as programs write it, all of it: several documents, anchors, tags. [`crate::yaml`] is stricter.
//!
//! An alias stands for what was taken at its anchor, so it is passed over. So is whatever carries a tag of its
//! program: `!reference [a, b]` holds names of keys.

use granit_parser::{Event, Parser};

use super::{Leaf, Malformed, NESTING, Take};

/// Takes every scalar of every document.
pub(in crate::checkout) fn yaml(text: &str, take: &mut Take<'_>) -> Result<(), Malformed> {
    let options = granit_parser::options! {
        flow_nesting_limit: NESTING,
        block_nesting_limit: NESTING,
        emit_unresolved_aliases: true,
    };
    let mut walk = Walk { open: Vec::new(), keys: Vec::new(), maps: 0, take };
    let mut line = 1;
    for event in Parser::new_from_str_with_options(text, options) {
        let malformed = |line| Malformed { format: "YAML", line };
        let (event, span) = event.map_err(|error| malformed(error.marker().line().max(1)))?;
        line = span.start.line().max(1);
        walk.event(event, line).ok_or_else(|| malformed(line))?;
    }
    if walk.open.is_empty() { Ok(()) } else { Err(Malformed { format: "YAML", line }) }
}

/// A list or map whose end has not been seen.
enum Open {
    List { tagged: bool },
    Map { number: usize, state: Key, tagged: bool },
}

/// What a map waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Wanted,
    /// Its value is next.
    Taken,
    /// A list or map that is a key is being read.
    Complex,
}

struct Walk<'w, 't> {
    open: Vec<Open>,
    keys: Vec<String>,
    maps: usize,
    take: &'w mut Take<'t>,
}

impl Walk<'_, '_> {
    /// `None` if the events do not fit together, which the parser does not let happen.
    fn event(&mut self, event: Event<'_>, line: usize) -> Option<()> {
        let tagged = event.tag().is_some_and(|tag| !tag.is_yaml_core_schema());
        match event {
            Event::Scalar(text, ..) => self.scalar(&text, line, tagged),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.scalar("*", line, true);
            }
            Event::SequenceStart(..) => {
                self.begin();
                self.open.push(Open::List { tagged });
            }
            Event::MappingStart(..) => {
                self.begin();
                self.maps += 1;
                self.open.push(Open::Map { number: self.maps, state: Key::Wanted, tagged });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop()?;
                self.end();
            }
            _ => {}
        }
        Some(())
    }

    /// A list or map begins where a map may be waiting for its key.
    fn begin(&mut self) {
        if let Some(Open::Map { state: state @ Key::Wanted, .. }) = self.open.last_mut() {
            *state = Key::Complex;
            self.keys.push("?".to_owned());
        }
    }

    /// A node is complete.
    fn end(&mut self) {
        if let Some(Open::Map { state, .. }) = self.open.last_mut() {
            match state {
                Key::Complex => *state = Key::Taken,
                Key::Taken => {
                    *state = Key::Wanted;
                    self.keys.pop();
                }
                Key::Wanted => {}
            }
        }
    }

    fn scalar(&mut self, text: &str, line: usize, tagged: bool) {
        if let Some(Open::Map { state: state @ Key::Wanted, .. }) = self.open.last_mut() {
            *state = Key::Taken;
            self.keys.push(text.to_owned());
            return;
        }
        let hidden = |open: &Open| match open {
            Open::List { tagged } => *tagged,
            Open::Map { tagged, state, .. } => *tagged || *state == Key::Complex,
        };
        if !tagged && !self.open.iter().any(hidden) {
            let map = self.open.iter().rev().find_map(|open| match open {
                Open::Map { number, .. } => Some(*number),
                Open::List { .. } => None,
            });
            let map = map.unwrap_or_default();
            (self.take)(Leaf { keys: &self.keys, text, line, map });
        }
        self.end();
    }
}
