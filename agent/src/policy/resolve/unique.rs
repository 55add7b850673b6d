//! Lists whose entries must differ.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use crate::policy::problem::{Problem, Problems};
use crate::yaml::{Span, shown};

/// What a list has shown so far, with the line it stood in.
#[derive(Debug)]
pub(super) struct Unique<T>(HashMap<T, usize>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> Unique<T> {
    /// Whether the entry is new; if not, that is reported.
    pub(super) fn check(
        &mut self,
        entry: T,
        span: Span,
        text: &str,
        what: impl FnOnce() -> String,
        problems: &mut Problems,
    ) -> bool {
        match self.first_line(entry, span) {
            None => true,
            Some(first_line) => {
                let text = shown(text);
                problems.push(span, Problem::DuplicateEntry { text, what: what(), first_line });
                false
            }
        }
    }

    /// Where the entry stood before, if it did.
    pub(super) fn first_line(&mut self, entry: T, span: Span) -> Option<usize> {
        match self.0.entry(entry) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(place) => {
                place.insert(span.line);
                None
            }
        }
    }
}
