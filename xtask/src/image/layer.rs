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

/// Files by their path in the image, without the leading slash.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    programs: BTreeMap<String, Vec<u8>>,
}

impl Layer {
    /// Adds what the file at `source` holds as the executable file `path`.
    pub(super) fn program(&mut self, path: &str, source: &Path) -> Result<()> {
        let name = path.strip_prefix('/').context("a path in an image begins at its root")?;
        let bytes = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
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
