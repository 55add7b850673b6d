//! The credential files that a pod's profile watches.

use aya::maps::{HashMap, Map, MapData};
use weir_ebpf::credential::{FileKey, PathPatterns, WatchedFile, WatchedFolder};

use super::{
    attach::lock,
    error::DatapathError,
    kernel::Kernel,
    object::{Datapath, typed},
    slot::Slot,
};

/// The tables of all pods.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) paths: HashMap<MapData, u32, Kernel<PathPatterns>>,
    pub(super) files: HashMap<MapData, Kernel<FileKey>, Kernel<WatchedFile>>,
    pub(super) folders: HashMap<MapData, Kernel<FileKey>, Kernel<WatchedFolder>>,
}

impl Datapath {
    /// Says which paths a pod's profile watches.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn watch_paths(&self, slot: &Slot, patterns: &PathPatterns) -> Result<(), DatapathError> {
        lock(&self.tables)
            .watched
            .paths
            .insert(slot.number(), Kernel(*patterns), 0)
            .map_err(DatapathError::map("writing the credential paths of a pod"))
    }

    /// What is known of a credential file.
    #[must_use]
    pub fn watched_file(&self, key: FileKey) -> Option<WatchedFile> {
        lock(&self.tables).watched.files.get(&Kernel(key), 0).ok().map(|file| file.0)
    }
}

impl Watched {
    /// The tables, each of which `take` takes out of the loaded programs by its name.
    pub(super) fn new(
        mut take: impl FnMut(&'static str) -> Result<Map, DatapathError>,
    ) -> Result<Self, DatapathError> {
        Ok(Self {
            paths: typed(take("WATCHED_PATHS")?)?,
            files: typed(take("WATCHED_FILES")?)?,
            folders: typed(take("WATCHED_FOLDERS")?)?,
        })
    }

    /// Forgets what a pod watched.
    pub(super) fn forget(&mut self, slot: u32) {
        // A pod that watched nothing has no entry.
        self.paths.remove(&slot).ok();
        forget_keys(&mut self.files, slot);
        forget_keys(&mut self.folders, slot);
    }
}

fn forget_keys<V>(map: &mut HashMap<MapData, Kernel<FileKey>, Kernel<V>>, slot: u32)
where
    Kernel<V>: aya::Pod,
{
    let keys: Vec<_> = map.keys().filter_map(Result::ok).filter(|key| key.0.slot == slot).collect();
    for key in keys {
        map.remove(&key).ok();
    }
}
