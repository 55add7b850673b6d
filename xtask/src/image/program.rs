//! Building a program so that its bytes depend on its source and compiler alone.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Image;
use crate::shell;

/// A checkout and the folder for what is built from it.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    pub(super) fn new(root: &Path, target: &Path) -> Self {
        Self { root: root.to_owned(), target: target.to_owned() }
    }

    /// Builds the program of `image`; its path.
    pub(super) fn program(&self, image: Image) -> Result<PathBuf> {
        let (profile, is_static) = match image {
            Image::WeirInitc => ("initc", true),
            // libmnl comes as a shared object only.
            Image::Weir => ("dist", false),
        };
        let host = host()?;
        let mut cargo = shell::cargo(&["build", "--locked", "--profile", profile]);
        cargo.args(["--package", image.name(), "--bin", image.name()]);
        // Named also where it is the host: else the flags would hold for build scripts too.
        cargo.args(["--target", &host, "--target-dir"]).arg(&self.target).current_dir(&self.root);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.flags(is_static).join("\x1f"));
        for variable in ["RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_INCREMENTAL"] {
            cargo.env_remove(variable);
        }
        shell::run(cargo)?;
        let path = self.target.join(host).join(profile).join(image.name());
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

/// The target that the compiler builds for by itself.
fn host() -> Result<String> {
    let mut rustc = shell::command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.arg("-vV");
    let version = shell::capture(rustc)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("a rustc that does not name its host")?.to_owned())
}
