//! The credential files that a pod's profile watches.

use aya::maps::{HashMap, MapData};
use weir_ebpf::credential::{FileKey, PathPatterns, WatchedFile};

use super::{attach::lock, error::DatapathError, kernel::Kernel, object::Datapath, slot::Slot};

/// The tables of all pods.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) paths: HashMap<MapData, u32, Kernel<PathPatterns>>,
    pub(super) files: HashMap<MapData, Kernel<FileKey>, Kernel<WatchedFile>>,
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
    /// Forgets what a pod watched.
    pub(super) fn forget(&mut self, slot: u32) {
        // A pod that watched nothing has no entry.
        self.paths.remove(&slot).ok();
        let files: Vec<_> =
            self.files.keys().filter_map(Result::ok).filter(|key| key.0.slot == slot).collect();
        for file in files {
            self.files.remove(&file).ok();
        }
    }
}
