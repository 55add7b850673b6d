//! What outlives the agent on bpffs: `<layout>/tables/*` and `<layout>/hooks/*` for all
//! pods, `<layout>/pods/<sandbox>/*` for each.
//!
//! The layout is a digest of the tables' shapes. An agent takes over what has its own layout. What has
//! another belongs to an older or newer agent: it goes on enforcing until this one's own hooks are in
//! place beside it, and is removed then.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::error::NodeError;
use crate::{containerd::SandboxId, datapath::object::layout};

/// The folders of this agent's layout.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
    layout: PathBuf,
}

impl Pins {
    /// Makes the folders. `root` must be on a BPF file system.
    pub(super) fn make(root: &Path) -> Result<Self, NodeError> {
        let parent = root.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(root);
        let kind = statfs(parent)
            .map_err(|error| NodeError::path("looking at", parent)(error.into()))?
            .filesystem_type();
        if kind != BPF_FS_MAGIC {
            return Err(NodeError::NoBpffs(root.to_owned()));
        }
        let pins = Self { root: root.to_owned(), layout: root.join(layout()) };
        for folder in [pins.tables(), pins.hooks(), pins.pods()] {
            fs::create_dir_all(&folder).map_err(NodeError::path("making the folder", &folder))?;
        }
        Ok(pins)
    }

    /// Where the tables of all pods are.
    pub(super) fn tables(&self) -> PathBuf {
        self.layout.join("tables")
    }

    /// Where the links are that see the whole machine.
    pub(super) fn hooks(&self) -> PathBuf {
        self.layout.join("hooks")
    }

    fn pods(&self) -> PathBuf {
        self.layout.join("pods")
    }

    /// Where the links of one pod are.
    pub(super) fn of(&self, sandbox: &SandboxId) -> PathBuf {
        self.pods().join(sandbox.as_str())
    }

    /// The pods of this layout that have pins.
    pub(super) fn pinned(&self) -> Vec<SandboxId> {
        sandboxes(&self.pods())
    }

    /// Removes the pins of one pod in other layouts, now that this agent's hooks are in place beside them, and
    /// the layouts that hold no pod any more.
    pub(super) fn remove_elsewhere(&self, sandbox: &SandboxId) {
        for layout in self.other_layouts() {
            let folder = layout.join("pods").join(sandbox.as_str());
            if folder.exists() {
                remove_folder(&folder);
                remove_if_empty(&layout);
            }
        }
    }

    /// Removes what other layouts hold of pods that are gone, and the layouts that hold none any more.
    pub(super) fn remove_others(&self, running: &BTreeSet<SandboxId>) {
        for layout in self.other_layouts() {
            let pods = layout.join("pods");
            for sandbox in sandboxes(&pods) {
                if !running.contains(&sandbox) {
                    remove_folder(&pods.join(sandbox.as_str()));
                }
            }
            remove_if_empty(&layout);
        }
    }

    fn other_layouts(&self) -> Vec<PathBuf> {
        folders(&self.root)
            .into_iter()
            .filter(|folder| *folder != self.layout && folder.join("pods").is_dir())
            .collect()
    }
}

/// Removes a layout that holds no pod.
fn remove_if_empty(layout: &Path) {
    let pods = layout.join("pods");
    if sandboxes(&pods).is_empty() {
        remove_folder(&layout.join("hooks"));
        remove_folder(&layout.join("tables"));
        remove_folder(&pods);
        remove_folder(layout);
    }
}

fn sandboxes(folder: &Path) -> Vec<SandboxId> {
    folders(folder)
        .iter()
        .filter_map(|folder| SandboxId::new(folder.file_name()?.to_str()?).ok())
        .collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Removes a folder and the pins in it. bpffs has no folders below a pod's.
pub(super) fn remove_folder(folder: &Path) {
    let removed = fs::read_dir(folder).and_then(|pins| {
        pins.filter_map(Result::ok).try_for_each(|pin| fs::remove_file(pin.path()))?;
        fs::remove_dir(folder)
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "pins were left behind");
        }
        _ => {}
    }
}
