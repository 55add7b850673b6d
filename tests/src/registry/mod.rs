//! Package registries of the lab: an index on one host, the archives of packages on another, each with one package
//! that the real client of its kind has packed.

mod cargo;
mod npm;
mod pip;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::dns::Records;
use crate::exec::Output;
use crate::lab::{Lab, addresses};
use crate::web::Page;

/// The package that every registry has.
pub const PACKAGE: &str = "weir-probe";
/// Its version.
pub const VERSION: &str = "1.0.0";

/// A package client of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// npm.
    Npm,
    /// pip.
    Pip,
    /// cargo.
    Cargo,
}

impl Registry {
    /// The host that the client asks first when nobody tells it where to go: learned from the question that it sends
    /// to a name server which knows no such name.
    pub fn default_host(self, lab: &Lab) -> Result<String> {
        let script = match self {
            Self::Npm => "npm view weir-probe --fetch-retries=0",
            Self::Pip => "pip3 download --retries 0 --no-deps weir-probe",
            Self::Cargo => {
                "cargo init -q --vcs none --name x x && cd x && echo 'weir-probe = \"1\"' >> Cargo.toml && \
                 CARGO_NET_RETRY=0 cargo fetch"
            }
        };
        first_question(lab, script)
    }

    /// Lets `index` be a registry of this kind with [`PACKAGE`], whose archive is on `archives`.
    pub fn serve(self, lab: &Lab, index: &str, archives: &str) -> Result<()> {
        for host in [index, archives] {
            lab.zone().set(host, Records::ttl(300).pair(addresses::WEB[3]))?;
        }
        match self {
            Self::Npm => npm::serve(lab, index, archives),
            Self::Pip => pip::serve(lab, index, archives),
            Self::Cargo => cargo::serve(lab, index, archives),
        }
    }
}

/// The first name that `script` asks the lab's name servers for, where it gets no answer and fails.
pub fn first_question(lab: &Lab, script: &str) -> Result<String> {
    lab.authority.forget();
    let output = run(lab, &fresh_folder(lab, "learn")?, script)?;
    ensure!(output.code != 0, "it found something in an empty lab: {}", output.describe());
    let questions = lab.authority.questions();
    let mut names = questions.iter().map(|question| question.name.clone());
    names
        .find(|name| name.contains('.') && !name.ends_with("example.org"))
        .with_context(|| format!("no name was asked for: {}", output.describe()))
}

/// A new folder below the home of the lab's client.
pub fn fresh_folder(lab: &Lab, name: &str) -> Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix(name).tempdir_in(lab.client.home())?;
    Ok(folder.keep())
}

/// Runs a script in `folder` on the lab's client, without weir.
pub fn run(lab: &Lab, folder: &Path, script: &str) -> Result<Output> {
    let mut command = lab.client.command(&["sh", "-c", script]);
    command.current_dir(folder).envs(environment(lab));
    crate::exec::run(command, crate::exec::DEFAULT_LIMIT)
}

/// Has the clients trust the lab's authority and nobody else, and find their own parts where this machine has them.
#[must_use]
pub fn environment(lab: &Lab) -> Vec<(String, OsString)> {
    let ca = lab.web.ca_file().as_os_str().to_owned();
    let mut environment: Vec<_> =
        ["npm_config_cafile", "PIP_CERT", "CARGO_HTTP_CAINFO", "NODE_EXTRA_CA_CERTS"]
            .map(|name| (name.to_owned(), ca.clone()))
            .into();
    // rustup's cargo looks for its toolchains in the home folder, which is another one in the lab.
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup"));
    let rustup = std::env::var_os("RUSTUP_HOME").or(home.map(PathBuf::into_os_string));
    environment.extend(rustup.map(|folder| ("RUSTUP_HOME".to_owned(), folder)));
    environment
}

fn page(kind: &'static str, body: impl Into<Vec<u8>>) -> Page {
    Page { kind, body: body.into() }
}

/// The archive that `script` packed in a fresh folder; the last line of its output names the file.
fn pack(lab: &Lab, files: &[(&str, &str)], script: &str) -> Result<(Vec<u8>, Output)> {
    let folder = fresh_folder(lab, "pack")?;
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().context("a file without a folder")?)?;
        fs::write(path, text)?;
    }
    let output = run(lab, &folder, script)?.expect_code(0)?;
    let file = output.stdout.lines().last().context("nothing was packed")?;
    let archive = fs::read(folder.join(file)).with_context(|| format!("reading {file}"))?;
    Ok((archive, output))
}

/// SHA-256 in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
