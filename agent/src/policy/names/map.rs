//! A map from names to numbers in which a name costs little more than its text.
//!
//! All text is one allocation and all entries are another: with an allocation for each of a hundred thousand names, what
//! reading them has left lies between them, and stays the process's.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::ListIndex;

/// Which list each name has.
#[derive(Clone, Debug, Default)]
pub(super) struct NameMap {
    text: String,
    entries: HashTable<Entry>,
    hasher: RandomState,
}

/// Where in the text a name is. A profile's names fit: at most [`crate::policy::limits::DOMAINS`] of 253 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    length: u8,
    list: ListIndex,
}

impl Entry {
    fn name(self, text: &str) -> &str {
        let start = usize::try_from(self.start).unwrap_or(usize::MAX);
        text.get(start..start.saturating_add(self.length.into())).unwrap_or_default()
    }
}

impl NameMap {
    /// With room for these names and no more.
    pub(super) fn for_names<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let (count, bytes) =
            names.fold((0, 0), |(count, bytes), name| (count + 1, bytes + name.len()));
        let text = String::with_capacity(bytes);
        Self { text, entries: HashTable::with_capacity(count), hasher: RandomState::new() }
    }

    /// Adds a name that is not there yet, of 253 bytes at most.
    pub(super) fn insert(&mut self, name: &str, list: ListIndex) {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        self.text.push_str(name);
        let (text, hasher) = (&self.text, &self.hasher);
        let hash = |entry: &Entry| hasher.hash_one(entry.name(text));
        self.entries.insert_unique(hasher.hash_one(name), Entry { start, length, list }, hash);
    }

    /// The list of a name.
    pub(super) fn get(&self, name: &str) -> Option<ListIndex> {
        let is_it = |entry: &Entry| entry.name(&self.text) == name;
        self.entries.find(self.hasher.hash_one(name), is_it).map(|entry| entry.list)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let longest = "x".repeat(253);
        let names = ["", "a", "ab", "b", "example.com", &longest];
        let mut map = NameMap::for_names(names.into_iter());
        let room = map.text.capacity();
        for (list, name) in (0..).zip(names) {
            assert_eq!(map.get(name), None);
            map.insert(name, list);
        }
        for (list, name) in (0..).zip(names) {
            assert_eq!(map.get(name), Some(list), "{name}");
        }
        for name in ["aa", "ba", "xample.com", &longest[1..]] {
            assert_eq!(map.get(name), None, "{name}");
        }
        assert_eq!((map.len(), map.text.capacity()), (names.len(), room));
    }

    #[test]
    fn it_grows_past_the_room_that_it_was_made_with() {
        let mut map = NameMap::default();
        for number in 0..1000 {
            map.insert(&format!("{number}.example.com"), number);
        }
        assert!((0..1000).all(|number| map.get(&format!("{number}.example.com")) == Some(number)));
    }
}
