//! Debian packages of other releases, unpacked into a folder of the build results and not installed.
//!
//! apt runs with a configuration of its own, so the machine's package lists stay as they are; apt checks the
//! archive's signature and every checksum. What was unpacked once is used until the folder is deleted.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::exec::{self, DEFAULT_LIMIT, Output};
use crate::programs::target_folder;

/// A package list has tens of megabytes, and so have some packages.
const FETCH_LIMIT: Duration = Duration::from_secs(180);
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An unpacked package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// What would have been the root.
    pub(crate) folder: PathBuf,
    /// The package's version.
    pub(crate) version: String,
}

/// Where everything that was fetched is kept.
pub(crate) fn cache() -> Result<PathBuf> {
    let target = target_folder()?;
    let cache = target.parent().context("build results without a parent")?.join("lab-packages");
    fs::create_dir_all(&cache)?;
    Ok(cache)
}

/// The package `name` of the release `suite`; none where no mirror gives it.
pub(crate) fn find(suite: &str, name: &str) -> Result<Option<Package>> {
    find_as(suite, name, |_| Ok(vec![name.to_owned()]))
}

/// The packages of `suite` that `choose` names, unpacked together and kept as `label`, with the version of the last; none
/// where no mirror gives them.
pub(crate) fn find_as(
    suite: &str,
    label: &str,
    choose: impl FnOnce(&Archive) -> Result<Vec<String>>,
) -> Result<Option<Package>> {
    let cache = cache()?;
    let place = cache.join(suite).join(label);
    if !place.exists() {
        fs::create_dir_all(cache.join(suite))?;
        // Tests beside this one may be fetching the same package.
        let fresh = tempfile::tempdir_in(&cache)?;
        let Some(archive) = Archive::open(fresh.path(), suite, Lists::Programs)? else {
            return Ok(None);
        };
        let package = fresh.path().join("package");
        fs::create_dir(&package)?;
        let mut version = None;
        for name in choose(&archive)? {
            version = archive.unpack(&name, &package.join("root"))?;
            if version.is_none() {
                break;
            }
        }
        let Some(version) = version else { return Ok(None) };
        fs::write(package.join("version"), version)?;
        let renamed = fs::rename(package, &place);
        ensure!(place.exists(), "keeping {label} of {suite}: {renamed:?}");
    }
    let version = fs::read_to_string(place.join("version"))?;
    Ok(Some(Package { folder: place.join("root"), version }))
}

/// What an [`Archive`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lists {
    /// Packages to unpack.
    Programs,
    /// Source packages too.
    ProgramsAndSources,
}

/// The package lists of one release, in a folder of their own.
#[derive(Debug)]
pub(crate) struct Archive {
    folder: PathBuf,
    suite: String,
}

impl Archive {
    /// Fetches the lists of `suite` into `folder`; none where no mirror gives them.
    pub(crate) fn open(folder: &Path, suite: &str, lists: Lists) -> Result<Option<Self>> {
        let Some(mirror) = mirror(suite) else { return Ok(None) };
        for inner in ["lists/partial", "archives/partial", "none"] {
            fs::create_dir_all(folder.join(inner))?;
        }
        let mut sources = format!("deb [signed-by={KEYS}] {mirror} {suite} main\n");
        if lists == Lists::ProgramsAndSources {
            writeln!(sources, "deb-src [signed-by={KEYS}] {mirror} {suite} main")?;
        }
        fs::write(folder.join("sources"), sources)?;
        fs::write(folder.join("apt.conf"), configuration(folder))?;
        let archive = Self { folder: folder.to_path_buf(), suite: suite.to_owned() };
        Ok(archive.succeeds("apt-get", &["update"])?.then_some(archive))
    }

    /// Every package whose name begins with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let output = self.apt("apt-cache", &["pkgnames", prefix])?.expect_code(0)?;
        Ok(output.stdout.lines().map(str::to_owned).collect())
    }

    /// Downloads the package `name` and unpacks it into `root`; its version, or none if it could not be had.
    pub(crate) fn unpack(&self, name: &str, root: &Path) -> Result<Option<String>> {
        if !self.succeeds("apt-get", &["download", name])? {
            return Ok(None);
        }
        // NAME_VERSION_ARCHITECTURE.deb; a colon in the version is written %3a.
        let file = self.downloaded(|file| file.starts_with(&format!("{name}_")))?;
        let version = file.split('_').nth(1).context("a package without a version")?.to_owned();
        fs::create_dir_all(root)?;
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").arg(self.folder.join(&file)).arg(root);
        exec::run(unpack, FETCH_LIMIT)?.expect_code(0)?;
        fs::remove_file(self.folder.join(file))?;
        Ok(Some(version))
    }

    /// Downloads the source package `name` and unpacks what its authors released into `root`, without the
    /// distribution's changes; its version, or none if it could not be had.
    pub(crate) fn unpack_source(&self, name: &str, root: &Path) -> Result<Option<String>> {
        if !self.succeeds("apt-get", &["source", "--download-only", name])? {
            return Ok(None);
        }
        let file = self.downloaded(|file| file.contains(".orig.tar."))?;
        let version = file.split('_').nth(1).and_then(|rest| rest.split_once(".orig.tar"));
        let version = version.context("a source package without a version")?.0.to_owned();
        fs::create_dir_all(root)?;
        let mut unpack = Command::new("tar");
        unpack.args(["--extract", "--strip-components", "1", "--no-same-owner", "--file"]);
        unpack.arg(self.folder.join(file)).arg("--directory").arg(root);
        exec::run(unpack, FETCH_LIMIT)?.expect_code(0)?;
        Ok(Some(version))
    }

    /// The name of the one downloaded file for which `wanted` holds.
    fn downloaded(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let names = fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find(|name| wanted(name));
        names.context("apt-get downloaded nothing")
    }

    /// Runs a program of apt; a failure is told and is no error: the mirror may not have what is asked for.
    fn succeeds(&self, program: &str, arguments: &[&str]) -> Result<bool> {
        let output = self.apt(program, arguments)?;
        if output.code != 0 {
            eprintln!("{} of {}: {}", arguments.join(" "), self.suite, output.describe());
        }
        Ok(output.code == 0)
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(program);
        command.arg("-qq").args(arguments).current_dir(&self.folder);
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        exec::run(command, FETCH_LIMIT)
    }
}

/// The mirror that this machine takes its own packages from, that of security updates for their suites.
fn mirror(suite: &str) -> Option<String> {
    let mut list = Command::new("apt-get");
    list.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let output = exec::run(list, DEFAULT_LIMIT).ok()?.expect_code(0).ok()?;
    // The security archive has no suites but its own.
    let is_security = suite.ends_with("-security");
    output.stdout.lines().find(|uri| uri.contains("security") == is_security).map(str::to_owned)
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
