//! Building a program so that its bytes depend on its source and compiler alone.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::Image;
use crate::cross::Toolchain;
use crate::shell;

/// A checkout and the folder for what is built from it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// This checkout, and the folder where its images' programs are built.
    pub(crate) fn of_images() -> Self {
        Self::new(shell::root(), &shell::root().join("target").join("image"))
    }

    pub(super) fn new(root: &Path, target: &Path) -> Self {
        Self { root: root.to_owned(), target: target.to_owned() }
    }

    /// Builds the program of `image` with `toolchain`; its path.
    pub(super) fn program(&self, image: Image, toolchain: &Toolchain) -> Result<PathBuf> {
        let (profile, is_static) = match image {
            Image::WeirInitc => ("initc", true),
            // libmnl comes as a shared object only.
            Image::Weir => ("dist", false),
        };
        let target = toolchain.target()?;
        let mut cargo = toolchain.cargo(&["build", "--locked", "--profile", profile]);
        cargo.args(["--package", image.name(), "--bin", image.name()]);
        // Named also where it is the host: else the flags would hold for build scripts too.
        cargo.args(["--target", &target, "--target-dir"]).arg(&self.target).current_dir(&self.root);
        let flags = [self.flags(is_static), toolchain.flags()].concat();
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        for variable in ["RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_INCREMENTAL"] {
            cargo.env_remove(variable);
        }
        shell::run(cargo)?;
        let path = self.target.join(target).join(profile).join(image.name());
        ensure!(path.is_file(), "cargo built no {}", path.display());
        Ok(path)
    }

    /// Compiler flags that keep the paths of this machine out. Of several that fit, the last counts.
    fn flags(&self, is_static: bool) -> Vec<String> {
        let folders = [
            (Some(self.root.clone()), "/weir"),
            (shell::cargo_home(), "/cargo"),
            (Some(self.target.clone()), "/target"),
        ];
        let known = folders.into_iter().filter_map(|(from, to)| Some((from?, to)));
        known
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
            .chain(is_static.then(|| "-Ctarget-feature=+crt-static".to_owned()))
            .collect()
    }
}
