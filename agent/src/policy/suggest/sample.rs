//! Some of many texts, and how many there were.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// The longest text that is kept, in bytes.
const TEXT_BYTES: usize = 120;

/// The first `KEPT` distinct texts, sorted, printable and short; the distinct ones are counted up to `COUNTED`.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample<const KEPT: usize, const COUNTED: usize> {
    kept: BTreeSet<String>,
    /// Hashes of all.
    seen: HashSet<u64>,
    is_more: bool,
}

impl<const KEPT: usize, const COUNTED: usize> Sample<KEPT, COUNTED> {
    pub(super) fn add(&mut self, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.contains(&hash) {
            return;
        }
        if self.seen.len() == COUNTED {
            self.is_more = true;
            return;
        }
        self.seen.insert(hash);
        if self.kept.len() < KEPT {
            self.kept.insert(printable(text, TEXT_BYTES));
        }
    }

    /// Takes in what another has kept and counted.
    pub(super) fn merge(&mut self, other: &Self) {
        for hash in &other.seen {
            if self.seen.len() == COUNTED && !self.seen.contains(hash) {
                self.is_more = true;
                break;
            }
            self.seen.insert(*hash);
        }
        self.is_more |= other.is_more;
        let room = KEPT.saturating_sub(self.kept.len());
        let new = other.kept.iter().filter(|text| !self.kept.contains(*text)).take(room);
        let new: Vec<String> = new.cloned().collect();
        self.kept.extend(new);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.seen.len()
    }

    /// `12`, or `more than 100`.
    pub(super) fn describe_count(&self) -> String {
        if self.is_more { format!("more than {COUNTED}") } else { self.count().to_string() }
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }

    /// How many distinct ones there are beyond those that are kept; `more than N` where they were not all counted.
    pub(super) fn others(&self) -> Option<String> {
        let others = self.count().saturating_sub(self.kept.len());
        match (others, self.is_more) {
            (0, false) => None,
            (others, false) => Some(others.to_string()),
            (others, true) => Some(format!("more than {others}")),
        }
    }

    /// `a, b, 3 more`.
    pub(super) fn list(&self) -> String {
        let mut texts: Vec<String> = self.kept.iter().cloned().collect();
        texts.extend(self.others().map(|others| format!("{others} more")));
        texts.join(", ")
    }
}

/// Text of the job as printable ASCII of bounded length, so that a comment stays a comment.
pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if out.len() >= longest {
            out.push_str("...");
            break;
        }
        match character {
            ' '..='~' => out.push(character),
            _ => out.extend(character.escape_default()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(texts: std::ops::Range<u32>) -> Sample<2, 5> {
        let mut sample = Sample::default();
        for text in texts {
            sample.add(&text.to_string());
            sample.add(&text.to_string());
        }
        sample
    }

    #[test]
    fn the_first_are_kept_and_the_others_counted() {
        assert_eq!(sample(0..2).list(), "0, 1");
        assert_eq!(
            (sample(0..5).list(), sample(0..5).describe_count()),
            ("0, 1, 3 more".to_owned(), "5".to_owned())
        );
        let many = sample(0..9);
        assert_eq!(
            (many.list(), many.describe_count()),
            ("0, 1, more than 3 more".to_owned(), "more than 5".to_owned())
        );
    }

    #[test]
    fn two_samples_are_as_one() {
        let merge = |mut one: Sample<2, 5>, other: Sample<2, 5>| {
            one.merge(&other);
            (one.list(), one.describe_count())
        };
        assert_eq!(merge(sample(0..1), sample(0..3)), ("0, 1, 1 more".to_owned(), "3".to_owned()));
        let many = merge(sample(0..4), sample(3..8));
        assert_eq!(many, ("0, 1, more than 3 more".to_owned(), "more than 5".to_owned()));
    }
}
