//! What cases came to, kept below the build results: one file for each kernel, suite and case.
//!
//! Invariant: what passed counts again only while the suite's program, weir and the barrier are the very same bytes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::case::{Case, Outcome};
use crate::programs::target_folder;
use crate::vm::Lsm;

/// The programs beside the suites of which they are made.
const PROGRAMS: [&str; 2] = ["weir", "weir-initc"];

/// The results on one kernel.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    /// Where the programs are.
    programs: PathBuf,
    /// Of files that were read already.
    digests: Mutex<HashMap<PathBuf, String>>,
}

/// A file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Of the suite's program and the [`PROGRAMS`].
    digest: String,
    outcome: Outcome,
}

impl Kept {
    /// Those on the kernel `version`.
    pub(super) fn open(version: &str, lsm: Lsm) -> Result<Self> {
        let programs = target_folder()?;
        let results = programs.parent().context("build results without a parent")?;
        let lsm = match lsm {
            Lsm::Bpf => "bpf",
            Lsm::None => "none",
        };
        Ok(Self::at(results.join("vm").join(version).join(lsm), programs))
    }

    fn at(folder: PathBuf, programs: PathBuf) -> Self {
        Self { folder, programs, digests: Mutex::default() }
    }

    /// What `case` came to, if it passed with the same programs.
    pub(super) fn passed(&self, case: &Case) -> Result<Option<Outcome>> {
        let Ok(text) = fs::read(self.path(case)) else { return Ok(None) };
        // What another version of this program wrote is none.
        let Ok(entry) = serde_json::from_slice::<Entry>(&text) else { return Ok(None) };
        Ok((entry.outcome.passed && entry.digest == self.digest(case)?).then_some(entry.outcome))
    }

    /// Keeps what `case` has come to.
    pub(super) fn keep(&self, case: &Case, outcome: &Outcome) -> Result<()> {
        let path = self.path(case);
        let folder = path.parent().context("a result without a folder")?;
        fs::create_dir_all(folder)?;
        let entry = Entry { digest: self.digest(case)?, outcome: outcome.clone() };
        // Whole or not at all, whenever this ends.
        let fresh = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&fresh, &entry)?;
        fresh.persist(&path).with_context(|| format!("keeping {}", path.display()))?;
        Ok(())
    }

    fn path(&self, case: &Case) -> PathBuf {
        self.folder.join(case.suite()).join(format!("{}.json", case.name.replace("::", ".")))
    }

    fn digest(&self, case: &Case) -> Result<String> {
        let mut all = self.of_file(&case.suite)?;
        for program in PROGRAMS {
            write!(all, " {}", self.of_file(&self.programs.join(program))?)?;
        }
        Ok(all)
    }

    fn of_file(&self, path: &Path) -> Result<String> {
        let mut digests = self.digests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(digest) = digests.get(path) {
            return Ok(digest.clone());
        }
        let mut hasher = Sha256::new();
        let file = File::open(path).with_context(|| format!("opening {}", path.display()));
        std::io::copy(&mut file?, &mut hasher)?;
        let mut digest = String::new();
        for byte in hasher.finalize() {
            write!(digest, "{byte:02x}")?;
        }
        digests.insert(path.to_path_buf(), digest.clone());
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(passed: bool) -> Outcome {
        let (said, left) = (String::new(), None);
        Outcome { passed, seconds: 1.0, said, skipped: vec!["a: b".to_owned()], left }
    }

    #[test]
    fn what_passed_counts_until_a_program_changes() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        let kept = || Kept::at(place.path().join("kept"), place.path().to_path_buf());
        let case = Case { suite: place.path().join("wire-1"), name: "of::one".to_owned() };
        for name in ["wire-1", "weir", "weir-initc"] {
            file(name, "first");
        }
        assert_eq!(kept().passed(&case).unwrap(), None);
        kept().keep(&case, &outcome(true)).unwrap();
        assert_eq!(kept().passed(&case).unwrap(), Some(outcome(true)));
        for name in ["wire-1", "weir", "weir-initc"] {
            file(name, "second");
            assert_eq!(kept().passed(&case).unwrap(), None, "{name} is another");
            file(name, "first");
        }
        kept().keep(&case, &outcome(false)).unwrap();
        assert_eq!(kept().passed(&case).unwrap(), None, "what failed runs again");
    }
}
