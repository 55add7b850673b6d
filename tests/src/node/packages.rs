//! Debian packages of other releases, unpacked into a folder of the build results and not installed.
//!
//! apt runs with a configuration of its own, so the machine's package lists stay as they are; apt checks the
//! archive's signature and every checksum. What was unpacked once is used until the folder is deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::exec::{self, DEFAULT_LIMIT, Output};
use crate::programs::target_folder;

/// A package list has tens of megabytes.
const FETCH_LIMIT: Duration = Duration::from_secs(180);
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An unpacked package.
#[derive(Clone, Debug)]
pub(super) struct Package {
    /// What would have been the root.
    pub(super) folder: PathBuf,
    /// The package's version.
    pub(super) version: String,
}

/// The package `name` of the release `suite`; none where no mirror gives it.
pub(super) fn find(suite: &str, name: &str) -> Result<Option<Package>> {
    let target = target_folder()?;
    let cache = target.parent().context("build results without a parent")?.join("lab-packages");
    let place = cache.join(suite).join(name);
    if !place.exists() {
        fs::create_dir_all(cache.join(suite))?;
        // Tests beside this one may be fetching the same package.
        let fresh = tempfile::tempdir_in(&cache)?;
        if !fetch(fresh.path(), suite, name)? {
            return Ok(None);
        }
        let renamed = fs::rename(fresh.path().join("package"), &place);
        ensure!(place.exists(), "keeping {name} of {suite}: {renamed:?}");
    }
    let version = fs::read_to_string(place.join("version"))?;
    Ok(Some(Package { folder: place.join("root"), version }))
}

/// Downloads and unpacks into `folder/package`; whether the package could be had.
fn fetch(folder: &Path, suite: &str, name: &str) -> Result<bool> {
    let Some(mirror) = mirror() else { return Ok(false) };
    let package = folder.join("package");
    for inner in ["lists/partial", "archives/partial", "none", "package/root"] {
        fs::create_dir_all(folder.join(inner))?;
    }
    fs::write(folder.join("sources"), format!("deb [signed-by={KEYS}] {mirror} {suite} main\n"))?;
    fs::write(folder.join("apt.conf"), configuration(folder))?;
    for arguments in [&["update"][..], &["download", name]] {
        let output = apt_get(folder, arguments)?;
        if output.code != 0 {
            eprintln!("{name} of {suite}: {}", output.describe());
            return Ok(false);
        }
    }
    // NAME_VERSION_ARCHITECTURE.deb; a colon in the version is written %3a.
    let archive = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded nothing")?;
    let stem = archive.file_stem().context("a package without a name")?.to_string_lossy();
    let version = stem.split('_').nth(1).context("a package without a version")?;
    fs::write(package.join("version"), version)?;
    let mut unpack = Command::new("dpkg");
    unpack.arg("-x").arg(&archive).arg(package.join("root"));
    exec::run(unpack, DEFAULT_LIMIT)?.expect_code(0)?;
    Ok(true)
}

/// The mirror that this machine takes its own packages from.
fn mirror() -> Option<String> {
    let mut list = Command::new("apt-get");
    list.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let output = exec::run(list, DEFAULT_LIMIT).ok()?.expect_code(0).ok()?;
    // The security archive has no releases but its own.
    output.stdout.lines().find(|uri| !uri.contains("security")).map(str::to_owned)
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "Dir::State \"{folder}\";
Dir::State::lists \"{folder}/lists\";
Dir::State::status \"/dev/null\";
Dir::Cache \"{folder}\";
Dir::Etc::sourcelist \"{folder}/sources\";
Dir::Etc::sourceparts \"{folder}/none\";
Dir::Etc::preferencesparts \"{folder}/none\";
Acquire::Languages \"none\";
Acquire::Retries \"1\";
Acquire::http::Timeout \"15\";
APT::Sandbox::User \"root\";
APT::Update::Error-Mode \"any\";
"
    )
}

fn apt_get(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("apt-get");
    command.arg("-qq").args(arguments).current_dir(folder);
    command.env("APT_CONFIG", folder.join("apt.conf"));
    exec::run(command, FETCH_LIMIT)
}
