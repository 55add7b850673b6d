//! One layer: a compressed tar whose bytes depend on names and contents alone.
//!
//! Compressed, because every node fetches it; by a compressor in pure Rust whose version the lock file
//! holds, so that it gives the same bytes everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use crate::cross::{Architecture, elf_machine};

/// Files by their path in the image, without the leading slash.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    architecture: Architecture,
    programs: BTreeMap<String, Vec<u8>>,
}

impl Layer {
    /// Nothing yet, for machines of `architecture`.
    pub(super) const fn new(architecture: Architecture) -> Self {
        Self { architecture, programs: BTreeMap::new() }
    }

    /// What its programs run on.
    pub(super) const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Adds what the file at `source` holds as the executable file `path`. It must be a program, or a library, of the
    /// layer's architecture.
    pub(super) fn program(&mut self, path: &str, source: &Path) -> Result<()> {
        let name = path.strip_prefix('/').context("a path in an image begins at its root")?;
        let bytes = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
        ensure!(
            elf_machine(&bytes) == Some(self.architecture.elf_machine()),
            "{} is no program for {}",
            source.display(),
            self.architecture.name()
        );
        let before = self.programs.insert(name.to_owned(), bytes);
        ensure!(before.is_none(), "two files for {path}");
        Ok(())
    }

    /// The layer as a tar, folders before what is in them.
    pub(super) fn tar(&self) -> Result<Vec<u8>> {
        let mut entries: BTreeMap<String, Option<&[u8]>> = BTreeMap::new();
        for (name, bytes) in &self.programs {
            let folders = name.match_indices('/').filter_map(|(end, _)| name.get(..=end));
            entries.extend(folders.map(|folder| (folder.to_owned(), None)));
            entries.insert(name.clone(), Some(bytes));
        }
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            append(&mut archive, &name, bytes)?;
        }
        Ok(archive.into_inner()?)
    }
}

/// Appends an executable file, or with no bytes a folder: root's, of the year 1970.
pub(super) fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    bytes: Option<&[u8]>,
) -> Result<()> {
    let mut header = Header::new_ustar();
    let kind = if bytes.is_some() { EntryType::Regular } else { EntryType::Directory };
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let bytes = bytes.unwrap_or_default();
    header.set_size(u64::try_from(bytes.len())?);
    archive.append_data(&mut header, name, bytes).with_context(|| format!("packing {name}"))
}

/// `bytes` in gzip's format (RFC 1952), without name and time.
pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::Layer;
    use crate::cross::Architecture;

    #[test]
    fn only_programs_of_its_architecture_come_in() {
        let own = std::env::current_exe().unwrap();
        let host = Architecture::host().unwrap();
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let added = Layer::new(architecture).program("/weir", &own);
            assert_eq!(added.is_ok(), architecture == host, "{architecture:?}: {added:?}");
        }
        let text = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(Layer::new(host).program("/weir", &text).is_err());
    }
}
