//! What the kernel's tables cannot hold of a pod: which names its entries came from, and which profile was in
//! force. Written as it happens, so that it is there after a SIGKILL.
//!
//! One JSON value a line. A last line that is cut off counts as not written.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

use super::lock;
use crate::policy::HostName;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// Addresses of a name became allow entries.
    Name { name: String, addresses: Vec<IpAddr> },
    /// A profile came into force.
    Profile { generation: u32, digest: String },
}

/// A pod's journal.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

/// What a journal told.
#[derive(Debug, Default)]
pub struct Story {
    /// Names by address, the latest last.
    pub names: HashMap<IpAddr, Vec<HostName>>,
    /// Digests of profiles by policy generation.
    pub profiles: HashMap<u32, String>,
}

impl Journal {
    /// Opens a pod's journal, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file), path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self, name: &HostName, addresses: &[IpAddr]) {
        self.write(&Line::Name { name: name.as_str().to_owned(), addresses: addresses.to_vec() });
    }

    pub(super) fn profile(&self, generation: u32, digest: &str) {
        self.write(&Line::Profile { generation, digest: digest.to_owned() });
    }

    /// A line that is lost costs a name after a kill, never a verdict.
    fn write(&self, line: &Line) {
        let written = serde_json::to_vec(line).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            lock(&self.file).write_all(&line)
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
            }
        }
        Ok(story)
    }
}

#[cfg(test)]
mod tests;
