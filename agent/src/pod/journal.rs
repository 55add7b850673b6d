//! What the kernel's tables cannot hold of a pod: which names its entries came from, which profile was in force,
//! and which names were refused. Written as it happens, so that it is there after a SIGKILL.
//!
//! One JSON value a line. A last line that is cut off counts as not written. Once a
//! journal is long, a name that leads to the same address again is not written again: the file lies in memory, and
//! its length must not be the job's choice.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    fs::{File, OpenOptions},
    hash::BuildHasher as _,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

use super::{lock, refused::KeptName};
use crate::policy::HostName;

/// Bytes up to which everything is written, in the order in which it happened.
const FREELY: usize = 1 << 20;
/// Bytes of refused names that one agent writes.
const REFUSED: usize = 1 << 20;
/// Names with an address that are known to be written; beyond it some are written again.
const KNOWN: usize = 65_536;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// Addresses of a name became allow entries.
    Name { name: String, addresses: Vec<IpAddr> },
    /// A profile came into force.
    Profile { generation: u32, digest: String },
    /// A name was refused, or audited, for the first time.
    Refused(KeptName),
}

/// A pod's journal.
#[derive(Debug)]
pub struct Journal {
    written: Mutex<Written>,
    path: PathBuf,
}

#[derive(Debug)]
struct Written {
    file: File,
    /// Bytes written by this agent.
    bytes: usize,
    /// Those of refused names among them.
    refused: usize,
    /// Hashes of each name with an address of it; seeded at random, so that a job cannot make two the same.
    known: HashSet<u64>,
    hasher: RandomState,
}

/// What a journal told.
#[derive(Debug, Default)]
pub struct Story {
    /// Names by address, the latest last.
    pub names: HashMap<IpAddr, Vec<HostName>>,
    /// Digests of profiles by policy generation.
    pub profiles: HashMap<u32, String>,
    /// Names that were refused or audited, in the order of their first sight.
    pub(super) refused: Vec<KeptName>,
}

impl Journal {
    /// Opens a pod's journal, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (known, hasher) = (HashSet::new(), RandomState::new());
        let written = Written { file, bytes: 0, refused: 0, known, hasher };
        Ok(Self { written: Mutex::new(written), path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self, name: &HostName, addresses: &[IpAddr]) {
        let mut written = lock(&self.written);
        let Written { bytes, known, hasher, .. } = &mut *written;
        if known.len() + addresses.len() > KNOWN {
            known.clear();
        }
        let mut addresses = addresses.to_vec();
        addresses.retain(|address| {
            known.insert(hasher.hash_one((name.as_str(), address))) || *bytes < FREELY
        });
        if !addresses.is_empty() {
            self.write(&mut written, &Line::Name { name: name.as_str().to_owned(), addresses });
        }
    }

    pub(super) fn profile(&self, generation: u32, digest: &str) {
        let line = Line::Profile { generation, digest: digest.to_owned() };
        self.write(&mut lock(&self.written), &line);
    }

    pub(super) fn refused(&self, name: KeptName) {
        let mut written = lock(&self.written);
        if written.refused < REFUSED {
            let before = written.bytes;
            self.write(&mut written, &Line::Refused(name));
            written.refused += written.bytes - before;
        }
    }

    /// A line that is lost costs a name after a kill, never a verdict.
    fn write(&self, written: &mut Written, line: &Line) {
        let written = serde_json::to_vec(line).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            written.bytes = written.bytes.saturating_add(line.len());
            written.file.write_all(&line)
        });
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "a pod's journal could not be written");
        }
    }
}

impl Story {
    /// Reads a journal; what cannot be read was not written.
    ///
    /// # Errors
    ///
    /// What the system said. A journal that does not exist told nothing.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut story = Self::default();
        for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            match line {
                Line::Name { name, addresses } => {
                    let Ok(name) = HostName::parse(&name) else { continue };
                    for address in addresses {
                        let names = story.names.entry(address.to_canonical()).or_default();
                        names.retain(|known| *known != name);
                        names.push(name.clone());
                    }
                }
                Line::Profile { generation, digest } => {
                    story.profiles.insert(generation, digest);
                }
                Line::Refused(name) => story.refused.push(name),
            }
        }
        Ok(story)
    }
}

#[cfg(test)]
mod tests;
