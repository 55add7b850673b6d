//! The answers that all pods share.
//!
//! It holds what upstream said, checked against its own question only: policy, rebinding guard and
//! budgets are applied per pod on the way out, so no pod's profile colours another's answer.
//!
//! Bounded in entries and in bytes. Each shard keeps two generations: when the young one has half of
//! the shard's share, it becomes the old one and the old one goes. What is used moves to the young
//! one, so a flood of new names costs the others a refresh at most, at O(1) and without a list.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::mem;
use std::sync::{Arc, Mutex};

use super::entry::Entry;
use super::lock;

#[cfg(test)]
mod tests;

const SHARDS: usize = 8;

/// Answers by question (name in wire form and lower case, then type).
pub(super) struct Cache {
    /// Seeded at random, so that a job cannot aim at one bucket.
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    entries_per_generation: usize,
    bytes_per_generation: usize,
}

type Generation = HashMap<Box<[u8]>, Arc<Entry>>;

#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
    young_bytes: usize,
}

impl Cache {
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: Default::default(),
            entries_per_generation: (entries / SHARDS / 2).max(1),
            bytes_per_generation: bytes / SHARDS / 2,
        }
    }

    /// The answer to the question `key`, however old.
    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        let mut shard = lock(self.shard(key)?);
        if let Some(entry) = shard.young.get(key) {
            return Some(Arc::clone(entry));
        }
        let (key, entry) = shard.old.remove_entry(key)?;
        self.insert_into(&mut shard, key, Arc::clone(&entry));
        Some(entry)
    }

    /// Keeps `entry` as the answer to `key`.
    pub(super) fn insert(&self, key: &[u8], entry: Arc<Entry>) {
        if let Some(shard) = self.shard(key) {
            let mut shard = lock(shard);
            shard.old.remove(key);
            self.insert_into(&mut shard, key.into(), entry);
        }
    }

    fn insert_into(&self, shard: &mut Shard, key: Box<[u8]>, entry: Arc<Entry>) {
        let key_bytes = key.len() + size_of::<(Box<[u8]>, Arc<Entry>)>();
        let bytes = key_bytes + entry.weight();
        if bytes > self.bytes_per_generation {
            return;
        }
        if shard.young.len() >= self.entries_per_generation
            || shard.young_bytes + bytes > self.bytes_per_generation
        {
            shard.old = mem::take(&mut shard.young);
            shard.young_bytes = 0;
        }
        let replaced = shard.young.insert(key, entry);
        shard.young_bytes += bytes;
        shard.young_bytes -= replaced.map_or(0, |entry| key_bytes + entry.weight());
    }

    fn shard(&self, key: &[u8]) -> Option<&Mutex<Shard>> {
        let hash = self.hasher.hash_one(key);
        self.shards.get(usize::try_from(hash % SHARDS as u64).ok()?)
    }
}
