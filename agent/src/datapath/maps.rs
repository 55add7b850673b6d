//! How the maps are sized, and how inner maps are made.

use std::io;

use aya::maps::{Map, MapData, MapError};
use aya_obj::maps::{LegacyMap, bpf_map_def};

use super::error::DatapathError;

/// `BPF_MAP_TYPE_LRU_HASH` (include/uapi/linux/bpf.h).
const LRU_HASH: u32 = 9;

/// Nodes of an LRU map that each CPU may hold back before others are evicted (`LOCAL_FREE_TARGET` in
/// `kernel/bpf/bpf_lru_list.c`).
const HELD_BACK_PER_CPU: u32 = 128;

/// Sizes of one pod's own maps, in entries that are to be held without eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodLimits {
    /// Allow entries.
    pub entries: u32,
    /// Flows that are counted.
    pub flows: u32,
    /// Sources of DNS queries.
    pub clients: u32,
}

impl Default for PodLimits {
    fn default() -> Self {
        // With what two CPUs hold back the first comes to 4096: one more, and the kernel doubles the
        // table of buckets (it rounds up to a power of two).
        Self { entries: 3840, flows: 768, clients: 256 }
    }
}

/// Makes an LRU hash to be an inner map, with room for what each CPU holds back.
pub(super) fn lru_hash<K, V>(name: &str, entries: u32) -> Result<MapData, DatapathError> {
    let cpus = possible_cpus()
        .map_err(|source| DatapathError::map("counting CPUs")(MapError::IoError(source)))?;
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let definition = aya_obj::Map::Legacy(LegacyMap {
        section_index: 0,
        section_kind: aya_obj::EbpfSectionKind::Maps,
        symbol_index: None,
        def: bpf_map_def {
            map_type: LRU_HASH,
            key_size: size(size_of::<K>()),
            value_size: size(size_of::<V>()),
            max_entries: entries.saturating_add(HELD_BACK_PER_CPU.saturating_mul(cpus)),
            ..bpf_map_def::default()
        },
        inner_def: None,
        data: Vec::new(),
    });
    MapData::create(definition, name, None).map_err(DatapathError::map("creating a pod's map"))
}

/// Wraps an inner map as what it is.
pub(super) fn as_lru(data: MapData) -> Map {
    Map::LruHashMap(data)
}

fn possible_cpus() -> io::Result<u32> {
    aya::util::nr_cpus()
        .map_err(|(_, source)| source)
        .map(|cpus| u32::try_from(cpus).unwrap_or(u32::MAX))
}
