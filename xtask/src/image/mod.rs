//! Container images without a daemon: built from this workspace, the same bytes from the same input.
//!
//! Every image is from scratch and has one layer. Its archive is an OCI image layout that `ctr images
//! import` reads, with the one file more that `docker load` wants. Of several architectures, one archive holds an
//! image each and an index of them, whose one digest serves every node.
//!
//! **Invariants:**
//! - No time, user, host path or file order of the building machine reaches an image. What does are the compiler and,
//!   for the agent, the C libraries of the machine; for another architecture, Debian's for that.
//! - Every program and library in an image is for the architecture that the image says.

mod archive;
mod built;
mod layer;
mod libraries;
mod program;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::archive::Archive;
use self::built::{Built, Description};
use self::layer::Layer;
pub(crate) use self::program::Tree;
use crate::cross::{Architecture, Toolchain};
use crate::shell::{self, say};

/// An image that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Image {
    /// The attach barrier.
    WeirInitc,
    /// The agent.
    Weir,
}

/// What the command line chooses.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this image
    #[arg(long)]
    only: Option<Image>,
    /// For what machines: amd64, arm64, or both as `amd64,arm64`; without it, for such as this one
    #[arg(long, value_delimiter = ',')]
    arch: Vec<Architecture>,
    /// The folder that gets the archives
    #[arg(long, default_value = "target/images")]
    out: PathBuf,
    /// The tag of the images' names
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// What stands before the images' names
    #[arg(long, default_value = "registry.example.com/weir")]
    repository: String,
}

impl Image {
    pub(crate) const ALL: [Self; 2] = [Self::WeirInitc, Self::Weir];

    /// The last part of its name, and of its program's.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WeirInitc => "weir-initc",
            Self::Weir => "weir",
        }
    }

    /// The licences of all that is in it (SPDX): its own, and those of the C libraries.
    const fn licenses(self) -> &'static str {
        match self {
            // The C library is linked in.
            Self::WeirInitc => "(MIT OR Apache-2.0) AND LGPL-2.1-or-later",
            // The kernel programs and libnftnl; glibc and libmnl; libgcc.
            Self::Weir => {
                "(MIT OR Apache-2.0) AND GPL-2.0-only AND GPL-2.0-or-later AND LGPL-2.1-or-later AND \
                 GPL-3.0-or-later WITH GCC-exception-3.1"
            }
        }
    }

    /// Builds its program in `tree` for `architecture` as the image holds it, and sees that an image can be made of
    /// it; the program's path.
    pub(crate) fn program(self, tree: &Tree, architecture: Architecture) -> Result<PathBuf> {
        self.build(tree, architecture)?;
        tree.program(self, &Toolchain::find(architecture)?)
    }

    /// Builds its program in `tree` for `architecture`, and puts the image together.
    fn build(self, tree: &Tree, architecture: Architecture) -> Result<Built> {
        let toolchain = Toolchain::find(architecture)?;
        let program = tree.program(self, &toolchain)?;
        let mut layer = Layer::new(architecture);
        layer.program(&format!("/{}", self.name()), &program)?;
        for (path, library) in libraries::of(&program, &toolchain)? {
            layer.program(&path, &library)?;
        }
        let entry = format!("/{}", self.name());
        let (user, command): (_, &[&str]) = match self {
            Self::WeirInitc => (Some("65532:65532"), &[]),
            Self::Weir => (None, &["agent"]),
        };
        let label =
            |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
        let labels = BTreeMap::from([
            label("title", self.name()),
            label("version", env!("CARGO_PKG_VERSION")),
            label("licenses", self.licenses()),
            label("source", env!("CARGO_PKG_REPOSITORY")),
        ]);
        Built::new(&layer, &Description { entry, command, user, labels })
    }

    /// Builds it for each of `architectures`, or for machines like this one where there is none.
    fn build_all(self, tree: &Tree, architectures: &[Architecture]) -> Result<Archive> {
        // In one order, however they were named: the index is made of it.
        let all: BTreeSet<_> = architectures.iter().copied().collect();
        let mut built = all.into_iter().map(|architecture| self.build(tree, architecture));
        let first = match built.next() {
            Some(first) => first?,
            None => self.build(tree, Architecture::host()?)?,
        };
        Archive::new(first, built.collect::<Result<_>>()?)
    }
}

/// Builds the images that `options` choose and prints name, digest and size of each.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tree = Tree::of_images();
    let folder = shell::root().join(&options.out);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for image in Image::ALL {
        if options.only.is_some_and(|only| only != image) {
            continue;
        }
        let archive = image
            .build_all(&tree, &options.arch)
            .with_context(|| format!("the image {}", image.name()))?;
        let path = folder.join(format!("{}.tar", image.name()));
        let name = format!("{}/{}", options.repository, image.name());
        archive.write(&path, &name, &options.tag)?;
        say(&format!(
            "{name}:{} {} {} KiB {}",
            options.tag,
            archive.digest(),
            archive.size_bytes().div_ceil(1024),
            path.display()
        ));
    }
    Ok(())
}
