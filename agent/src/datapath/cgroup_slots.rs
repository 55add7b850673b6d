//! Which slot the hooks of a cgroup serve: a word that the kernel keeps beside the cgroup, and that all of them share.

use std::{io, os::fd::AsFd as _};

use aya::maps::{Map, MapData, MapError};

use super::{error::DatapathError, syscall};

/// The words of all cgroups, each by the cgroup's id. aya's own type knows the older key alone, of which a cgroup has
/// one for each kind of hook.
#[derive(Debug)]
pub(super) struct CgroupSlots(MapData);

impl CgroupSlots {
    pub(super) fn new(map: Map) -> Result<Self, DatapathError> {
        let Map::CgroupStorage(data) = map else {
            return Err(DatapathError::Missing("cgroup storage"));
        };
        Ok(Self(data))
    }

    /// The slot that a cgroup's hooks serve: 0 is none, and `None` that no hook was ever attached there.
    pub(super) fn get(&self, cgroup: u64) -> io::Result<Option<u32>> {
        syscall::lookup(self.0.fd().as_fd(), &cgroup)
    }

    /// Tells the hooks of a cgroup their slot. The word is there once any hook was attached, and for as long as the
    /// cgroup is.
    pub(super) fn set(&mut self, cgroup: u64, slot: u32) -> Result<(), DatapathError> {
        syscall::update(self.0.fd().as_fd(), &cgroup, &slot).map_err(|error| {
            DatapathError::map("telling the hooks their slot")(MapError::IoError(error))
        })
    }
}
