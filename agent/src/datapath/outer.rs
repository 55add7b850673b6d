//! Each pod's tables of one kind, by slot: an array of maps.
//!
//! To put a map into its place, or to take it out, the kernel waits for an RCU grace period (6 to 21 ms); each
//! kind has a lock of its own, so that nothing else waits for that.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Mutex,
};

use aya::maps::{ArrayOfMaps, HashMap, IterableMap as _, Map, MapData, MapError};

use super::{attach::lock, error::DatapathError, kernel::Kernel, syscall};

/// A pod's own table.
pub(super) type PodMap<K, V> = HashMap<MapData, Kernel<K>, Kernel<V>>;

/// The tables of one kind of all pods.
pub(super) struct PodMaps<K, V> {
    outer: Mutex<ArrayOfMaps<MapData, PodMap<K, V>>>,
    fd: OwnedFd,
}

impl<K, V> PodMaps<K, V>
where
    Kernel<K>: aya::Pod,
    Kernel<V>: aya::Pod,
{
    pub(super) fn new(map: Map) -> Result<Self, DatapathError> {
        let Map::ArrayOfMaps(data) = map else {
            return Err(DatapathError::Missing("array of maps"));
        };
        let fd = data.fd().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|error| {
            DatapathError::map("opening a kernel table")(MapError::IoError(error))
        })?;
        let outer = ArrayOfMaps::try_from(Map::ArrayOfMaps(data))
            .map_err(DatapathError::map("opening a kernel table"))?;
        Ok(Self { outer: Mutex::new(outer), fd })
    }

    /// Gives a slot its table.
    pub(super) fn place(&self, slot: u32, map: &PodMap<K, V>) -> Result<(), DatapathError> {
        lock(&self.outer).set(slot, map, 0).map_err(DatapathError::map("giving a pod its maps"))
    }

    /// The identifier of the table that a slot has. Up to Linux 6.7 to look takes as long as to put one there.
    pub(super) fn id_of(&self, slot: u32) -> io::Result<Option<u32>> {
        syscall::lookup(self.fd.as_fd(), &slot)
    }

    /// Takes a slot's table away.
    pub(super) fn remove(&self, slot: u32) -> io::Result<()> {
        let _guard = lock(&self.outer);
        syscall::remove_inner(self.fd.as_fd(), slot)
    }
}

/// Opens a pod's table by the kernel's identifier of it, 0 of one that is not there.
pub(super) fn opened<K, V>(id: u32) -> Result<PodMap<K, V>, DatapathError>
where
    Kernel<K>: aya::Pod,
    Kernel<V>: aya::Pod,
{
    let data = if id == 0 { Err(MapError::KeyNotFound) } else { MapData::from_id(id) };
    pod_map(data.and_then(Map::from_map_data).map_err(DatapathError::map("opening a pod's map"))?)
}

/// The kernel's identifier of a pod's table.
pub(super) fn id<K, V>(map: &PodMap<K, V>) -> Result<u32, DatapathError>
where
    Kernel<K>: aya::Pod,
    Kernel<V>: aya::Pod,
{
    let info = map.map().info().map_err(DatapathError::map("reading the id of a pod's map"))?;
    Ok(info.id())
}

/// Wraps a map that was just made as a pod's table.
pub(super) fn pod_map<K, V>(map: Map) -> Result<PodMap<K, V>, DatapathError>
where
    Kernel<K>: aya::Pod,
    Kernel<V>: aya::Pod,
{
    HashMap::try_from(map).map_err(DatapathError::map("opening a pod's map"))
}
