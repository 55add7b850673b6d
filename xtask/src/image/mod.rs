//! Container images without a daemon: built from this workspace, the same bytes from the same input.
//!
//! Every image is from scratch and has one layer. Its archive is an OCI image layout that `ctr images
//! import` reads, with the one file more that `docker load` wants.
//!
//! **Invariant:** no time, user, host path or file order of the building machine reaches an image. What
//! does are the compiler and, for the agent, the C libraries of the machine.

mod archive;
mod layer;
mod libraries;
mod program;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::archive::{Archive, Description};
use self::layer::Layer;
use self::program::Tree;
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
    const ALL: [Self; 2] = [Self::WeirInitc, Self::Weir];

    /// The last part of its name, and of its program's.
    const fn name(self) -> &'static str {
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

    /// Builds its program in `tree` and puts the image together.
    fn build(self, tree: &Tree) -> Result<Archive> {
        let program = tree.program(self)?;
        let mut layer = Layer::default();
        layer.program(&format!("/{}", self.name()), &program)?;
        for library in libraries::of(&program)? {
            layer.program(&library, Path::new(&library))?;
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
        Archive::new(&layer, &Description { entry, command, user, labels })
    }
}

/// Builds the images that `options` choose and prints name, digest and size of each.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tree = Tree::new(shell::root(), &shell::root().join("target").join("image"));
    let folder = shell::root().join(&options.out);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for image in Image::ALL {
        if options.only.is_some_and(|only| only != image) {
            continue;
        }
        let archive = image.build(&tree).with_context(|| format!("the image {}", image.name()))?;
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
