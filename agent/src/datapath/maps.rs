//! How the maps are sized, and how inner maps are made.

use std::io;

use aya::maps::{MapData, MapError};
use aya_obj::maps::{LegacyMap, bpf_map_def};

use super::error::DatapathError;

/// `BPF_MAP_TYPE_LRU_HASH` (include/uapi/linux/bpf.h).
const LRU_HASH: u32 = 9;

/// `BPF_MAP_TYPE_HASH`.
const HASH: u32 = 1;
/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;

/// Nodes of an LRU map that each CPU may hold back before others are evicted (`LOCAL_FREE_TARGET` in
/// `kernel/bpf/bpf_lru_list.c`).
const HELD_BACK_PER_CPU: u32 = 128;

/// Sizes of one pod's own maps, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodLimits {
    /// Allow entries.
    pub entries: u32,
    /// Flows that are counted.
    pub flows: u32,
    /// Processes whose binary and ancestry are remembered.
    pub processes: u32,
    /// Sources of DNS queries that are held without eviction.
    pub clients: u32,
    /// Flows that the second layer remembers, at most: the oldest makes room.
    pub wire_flows: u32,
}

impl Default for PodLimits {
    fn default() -> Self {
        // Powers of two: the kernel rounds the table of buckets up to one.
        // Processes: half of them, from one look at the tables to the next and some more, at 500 a second.
        Self { entries: 4096, flows: 512, processes: 256, clients: 64, wire_flows: 256 }
    }
}

/// Makes a hash to be an inner map, whose entries take memory only once they are there.
pub(super) fn hash<K, V>(name: &str, entries: u32) -> Result<MapData, DatapathError> {
    create::<K, V>(name, HASH, entries, NO_PREALLOC)
}

/// Makes an LRU hash to be an inner map, all of it at once.
pub(super) fn lru_hash<K, V>(name: &str, entries: u32) -> Result<MapData, DatapathError> {
    create::<K, V>(name, LRU_HASH, entries, 0)
}

/// The size of an LRU hash that holds so many entries, whatever each CPU holds back.
pub(super) fn without_eviction(entries: u32) -> Result<u32, DatapathError> {
    let cpus = possible_cpus()
        .map_err(|source| DatapathError::map("counting CPUs")(MapError::IoError(source)))?;
    Ok(entries.saturating_add(HELD_BACK_PER_CPU.saturating_mul(cpus)))
}

fn create<K, V>(
    name: &str,
    map_type: u32,
    max_entries: u32,
    map_flags: u32,
) -> Result<MapData, DatapathError> {
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let definition = aya_obj::Map::Legacy(LegacyMap {
        section_index: 0,
        section_kind: aya_obj::EbpfSectionKind::Maps,
        symbol_index: None,
        def: bpf_map_def {
            map_type,
            key_size: size(size_of::<K>()),
            value_size: size(size_of::<V>()),
            max_entries,
            map_flags,
            ..bpf_map_def::default()
        },
        inner_def: None,
        data: Vec::new(),
    });
    MapData::create(definition, name, None).map_err(DatapathError::map("creating a pod's map"))
}

fn possible_cpus() -> io::Result<u32> {
    aya::util::nr_cpus()
        .map_err(|(_, source)| source)
        .map(|cpus| u32::try_from(cpus).unwrap_or(u32::MAX))
}
