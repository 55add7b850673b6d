//! The images that a node begins with: brought in once, then copied with all that containerd has written of them.
//!
//! Importing them anew for each node would take half of the time that a test takes. What is copied is what a containerd
//! that was stopped had left; it is made again whenever the containerd, its configuration, a file of an image or what writes
//! images is another.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::image::Image;
use crate::exec::{self, DEFAULT_LIMIT};
use crate::programs::target_folder;

/// What writes images.
const WRITTEN_BY: &str = include_str!("image.rs");

/// What is kept of one set of images.
#[derive(Debug)]
pub(super) struct Stock {
    /// Below the build results; named by the images, so that a newer set takes the place of an older one.
    folder: PathBuf,
    /// Of what it has to be made.
    made_of: String,
}

impl Stock {
    /// That of `images`, for the containerd at `program` with this configuration.
    pub(super) fn of(program: &Path, configuration: &str, images: &[&Image]) -> Result<Self> {
        let mut name = DefaultHasher::new();
        program.hash(&mut name);
        let mut made_of = format!("{WRITTEN_BY}\n{configuration}\n{}\n", version(program)?);
        for image in images {
            image.reference().hash(&mut name);
            writeln!(made_of, "{image:?}")?;
            for source in image.sources() {
                source.hash(&mut name);
                writeln!(made_of, "{}", version(source)?)?;
            }
        }
        let folder = target_folder()?.join("nodes").join(format!("{:016x}", name.finish()));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, made_of })
    }

    /// Fills the folder `root` of a containerd that does not run, if this stock was kept.
    pub(super) fn fill(&self, root: &Path) -> Result<bool> {
        let lock = self.lock()?;
        lock.lock_shared()?;
        if !self.is_kept() {
            return Ok(false);
        }
        copy(&self.root(), root)?;
        Ok(true)
    }

    /// Keeps what a containerd that does not run any more has in its folder `root`.
    pub(super) fn keep(&self, root: &Path) -> Result<()> {
        let lock = self.lock()?;
        lock.lock()?;
        if self.is_kept() {
            // By a test beside this one.
            return Ok(());
        }
        for old in [self.note(), self.root()] {
            let removed =
                if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        copy(root, &self.root())?;
        // Last: without it nothing counts as kept.
        fs::write(self.note(), &self.made_of).context("noting what a node's images are made of")
    }

    fn is_kept(&self) -> bool {
        fs::read_to_string(self.note()).is_ok_and(|text| text == self.made_of)
    }

    fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(path);
        file.context("opening the lock of a node's images")
    }

    fn note(&self) -> PathBuf {
        self.folder.join("made-of")
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }
}

/// Where a file is, and which version of it: a build or an upgrade changes its size or its time.
fn version(file: &Path) -> Result<String> {
    let metadata = fs::metadata(file).with_context(|| format!("no {}", file.display()))?;
    let (size, seconds) = (metadata.size(), metadata.mtime());
    Ok(format!("{} {size} {seconds}.{:09}", file.display(), metadata.mtime_nsec()))
}

/// Everything in a folder with its owners and rights, to a folder that need not be there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--reflink=auto"]).arg(from.join(".")).arg(to);
    exec::run(copy, DEFAULT_LIMIT)?.expect_code(0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stock of one image with the file `source`, for a containerd that is this test.
    fn stock(folder: &Path, source: &Path) -> Stock {
        let program = std::env::current_exe().unwrap();
        let image = Image::busybox("stocked").program(source, "/bin/client");
        let stock = Stock::of(&program, "a configuration", &[&image]).unwrap();
        Stock { folder: folder.to_path_buf(), ..stock }
    }

    #[test]
    fn what_was_kept_is_there_until_a_file_changes() {
        let all = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = all.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let (folder, root, source) = (at("stock"), at("root"), all.path().join("client"));
        for content in ["first", "second one"] {
            fs::write(&source, content).unwrap();
            let stock = stock(&folder, &source);
            assert!(!stock.fill(&root).unwrap(), "nothing was kept of {content}");
            fs::write(root.join("state"), content).unwrap();
            stock.keep(&root).unwrap();
            let next = at(content);
            assert!(stock.fill(&next).unwrap());
            assert_eq!(fs::read_to_string(next.join("state")).unwrap(), content);
        }
    }

    #[test]
    fn what_was_not_kept_whole_does_not_count() {
        let all = tempfile::tempdir().unwrap();
        let source = all.path().join("client");
        fs::write(&source, "client").unwrap();
        let stock = stock(all.path(), &source);
        fs::create_dir_all(stock.root()).unwrap();
        fs::write(stock.root().join("half"), "").unwrap();
        let root = all.path().join("containerd");
        fs::create_dir_all(&root).unwrap();
        assert!(!stock.fill(&root).unwrap());
        fs::write(root.join("state"), "").unwrap();
        stock.keep(&root).unwrap();
        assert!(!stock.root().join("half").exists() && stock.root().join("state").exists());
    }
}
