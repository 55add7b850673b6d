//! Bounds of the cache, and what survives a flood.

use std::time::{Duration, Instant};

use super::super::entry::EntryBuilder;
use super::*;

fn entry(data_len: usize) -> Arc<Entry> {
    let mut builder = EntryBuilder::new(3, 0, Instant::now());
    builder.record(16, &vec![0; data_len]).unwrap();
    Arc::new(builder.finish(Duration::from_secs(60)))
}

fn key(index: usize) -> Vec<u8> {
    format!("{index:06}").into_bytes()
}

fn held(cache: &Cache) -> usize {
    cache.shards.iter().map(|shard| lock(shard)).map(|s| s.young.len() + s.old.len()).sum()
}

#[test]
fn what_was_put_is_found() {
    let cache = Cache::new(1000, 1 << 20);
    let (one, two) = (entry(1), entry(2));
    cache.insert(b"one", Arc::clone(&one));
    cache.insert(b"one", Arc::clone(&two));
    assert!(cache.get(b"one").is_some_and(|found| Arc::ptr_eq(&found, &two)));
    assert!(cache.get(b"two").is_none());
}

#[test]
fn entries_are_bounded() {
    let cache = Cache::new(1000, usize::MAX >> 1);
    for index in 0..10_000 {
        cache.insert(&key(index), entry(1));
    }
    let held = held(&cache);
    assert!((400..=1000).contains(&held), "{held}");
}

#[test]
fn bytes_are_bounded() {
    let cache = Cache::new(1_000_000, 1 << 20);
    for index in 0..10_000 {
        cache.insert(&key(index), entry(1000));
    }
    let held = held(&cache);
    assert!((300..=1050).contains(&held), "{held}");
    for shard in &cache.shards {
        let shard = lock(shard);
        let counted: usize = shard
            .young
            .iter()
            .map(|(key, entry)| key.len() + size_of::<(Box<[u8]>, Arc<Entry>)>() + entry.weight())
            .sum();
        assert_eq!(counted, shard.young_bytes);
    }
}

#[test]
fn an_entry_larger_than_the_cache_is_not_kept() {
    let cache = Cache::new(1000, 10_000);
    cache.insert(b"huge", entry(5000));
    assert!(cache.get(b"huge").is_none());
}

#[test]
fn what_is_used_survives_a_flood() {
    let cache = Cache::new(1000, 1 << 20);
    cache.insert(b"used", entry(1));
    cache.insert(b"idle", entry(1));
    for index in 0..10_000 {
        cache.insert(&key(index), entry(1));
        assert!(cache.get(b"used").is_some(), "{index}");
    }
    assert!(cache.get(b"idle").is_none());
}
