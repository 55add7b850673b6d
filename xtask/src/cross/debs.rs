//! Debian packages of this release, fetched and unpacked into a folder, for this architecture or another.
//!
//! apt runs with a configuration of its own: the machine's package lists and what is installed stay as they are, and
//! apt checks the archive's signature and every checksum.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Architecture;
use crate::shell;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The packages of one architecture, as apt sees them through a folder of its own.
#[derive(Debug)]
pub(super) struct Debs {
    folder: PathBuf,
}

impl Debs {
    /// Fetches the lists of `architecture` into `folder`, from the mirrors that this machine takes its own from.
    pub(super) fn open(folder: &Path, architecture: Architecture) -> Result<Self> {
        ensure!(
            shell::has("apt-get"),
            "cross building takes Debian's packages, and this is no Debian system"
        );
        for part in ["lists/partial", "archives/partial", "none"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let sources = sources()?;
        ensure!(!sources.is_empty(), "no package lists of Debian: run `apt-get update` once");
        fs::write(folder.join("sources"), sources)?;
        let is_host = architecture == Architecture::host()?;
        fs::write(folder.join("apt.conf"), configuration(folder, architecture, is_host))?;
        let debs = Self { folder: folder.to_owned() };
        shell::run(debs.apt("apt-get", &["update"]))?;
        Ok(debs)
    }

    /// Unpacks packages into `root`: `NAME`, or `NAME=VERSION`.
    pub(super) fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        let mut download = self.apt("apt-get", &["download"]);
        download.args(packages).current_dir(self.archives());
        shell::run(download)?;
        self.unpack_fetched(root)
    }

    /// Unpacks a package and what it depends on into `root`, as far as the machine has it not.
    pub(super) fn unpack_missing(&self, package: &str, root: &Path) -> Result<()> {
        let install = ["install", "--yes", "--download-only", "--no-install-recommends", package];
        shell::run(self.apt("apt-get", &install))?;
        self.unpack_fetched(root)
    }

    fn unpack_fetched(&self, root: &Path) -> Result<()> {
        for file in self.fetched()? {
            let mut unpack = shell::command("dpkg");
            unpack.arg("-x").arg(&file).arg(root);
            shell::run(unpack)?;
            fs::remove_file(file)?;
        }
        Ok(())
    }

    /// Unpacks one file of a package into `root`; whether the package has it.
    pub(super) fn unpack_file(&self, package: &str, path: &str, root: &Path) -> Result<bool> {
        let mut download = self.apt("apt-get", &["download", package]);
        download.current_dir(self.archives());
        shell::run(download)?;
        for file in self.fetched()? {
            let mut content = shell::command("dpkg-deb")
                .arg("--fsys-tarfile")
                .arg(&file)
                .stdout(Stdio::piped())
                .spawn()?;
            let pipe = content.stdout.take().context("a program without an output")?;
            let mut pick = shell::command("tar");
            pick.args(["--extract", "--no-same-owner", "--directory"])
                .arg(root)
                .arg(format!(".{path}"));
            // Of a package that has no such file tar says so.
            pick.stdin(pipe).stderr(Stdio::null()).status()?;
            content.wait()?;
            fs::remove_file(file)?;
        }
        Ok(root.join(path.trim_start_matches('/')).is_file())
    }

    fn archives(&self) -> PathBuf {
        self.folder.join("archives")
    }

    fn fetched(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.archives())?.collect::<Result<Vec<_>, _>>()?;
        let paths = entries.into_iter().map(|entry| entry.path());
        Ok(paths.filter(|path| path.extension().is_some_and(|end| end == "deb")).collect())
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = shell::command(program);
        command.arg("-qq").args(arguments).env("APT_CONFIG", self.folder.join("apt.conf"));
        command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        command
    }
}

/// Debian's own package sources among those of this machine, one a line.
fn sources() -> Result<String> {
    let mut list = shell::command("apt-get");
    list.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]);
    list.args(["Created-By: Packages", "Origin: Debian"]);
    let lines = shell::capture(list)?;
    let mut sources: Vec<String> =
        lines.lines().map(|line| format!("deb [signed-by={KEYS}] {line}\n")).collect();
    sources.sort();
    sources.dedup();
    Ok(sources.concat())
}

/// With `is_host`, what is installed on this machine counts as there; else nothing does.
fn configuration(folder: &Path, architecture: Architecture, is_host: bool) -> String {
    let status = if is_host { "/var/lib/dpkg/status" } else { "/dev/null" };
    let (folder, architecture) = (folder.display(), architecture.name());
    format!(
        "Dir::State \"{folder}\";
Dir::State::lists \"{folder}/lists\";
Dir::State::status \"{status}\";
Dir::Cache \"{folder}\";
Dir::Cache::archives \"{folder}/archives\";
Dir::Etc::sourcelist \"{folder}/sources\";
Dir::Etc::sourceparts \"{folder}/none\";
Dir::Etc::preferencesparts \"{folder}/none\";
APT::Architecture \"{architecture}\";
APT::Architectures {{ \"{architecture}\"; }};
APT::Sandbox::User \"root\";
APT::Update::Error-Mode \"any\";
APT::Keep-Downloaded-Packages \"true\";
Acquire::Languages \"none\";
Acquire::Retries \"2\";
Debug::NoLocking \"true\";
"
    )
}
