//! The archives that `cargo xtask image` writes, read by a real containerd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use weir_tests::exec::{self, DEFAULT_LIMIT, Output, Running};

/// Builds a small program in two profiles, on a machine that may be busy.
const BUILD_LIMIT: Duration = Duration::from_secs(200);
const NAME: &str = "registry.example.com/ci/weir-initc:tested";

/// A containerd of its own that stores images and starts nothing; its mounts are its own too.
struct Containerd {
    folder: TempDir,
    // Ends before its folder goes.
    _daemon: Running,
}

impl Containerd {
    fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("weir-images-").tempdir()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = '{}'\nstate = '{}'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt', \
             'io.containerd.internal.v1.tracing']\n\
             [grpc]\naddress = '{}'\n[ttrpc]\naddress = '{}'\n",
            at("root"),
            at("state"),
            at("socket"),
            at("ttrpc"),
        );
        std::fs::write(folder.path().join("config.toml"), config)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "containerd", "--config"]);
        command.arg(folder.path().join("config.toml"));
        let daemon = exec::spawn(command)?;
        let containerd = Self { folder, _daemon: daemon };
        containerd.wait()?;
        Ok(containerd)
    }

    /// Waits until it answers.
    fn wait(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            // No event tells that the socket has come.
            let output = self.ctr(&["--connect-timeout", "1s", "version"])?;
            if output.code == 0 {
                return Ok(());
            }
            ensure!(began.elapsed() < DEFAULT_LIMIT, "no containerd: {}", output.describe());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ctr(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.folder.path().join("socket"));
        command.args(["--namespace", "k8s.io"]).args(arguments);
        exec::run(command, DEFAULT_LIMIT)
    }
}

/// Builds the barrier's image into `out`; the archive, and the digest that was printed.
fn build(out: &Path) -> Result<(PathBuf, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--locked", "--package", "xtask", "--", "image"]);
    command.args(["--only", "weir-initc", "--repository", "registry.example.com/ci"]);
    command.args(["--tag", "tested", "--out"]).arg(out);
    let output = exec::run(command, BUILD_LIMIT)?.expect_code(0)?;
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    ensure!(words.first() == Some(&NAME), "{}", output.describe());
    let digest = words.get(1).context("no digest was printed")?;
    Ok((out.join("weir-initc.tar"), (*digest).to_owned()))
}

#[test]
fn containerd_imports_the_barrier() -> Result<()> {
    let out = tempfile::tempdir()?;
    let (archive, digest) = build(out.path())?;
    let archive = archive.to_str().context("a path that is no text")?;
    let containerd = Containerd::start()?;
    containerd.ctr(&["images", "import", "--digests", archive])?.expect_code(0)?;

    let list = containerd.ctr(&["images", "list"])?.expect_code(0)?;
    let line = list.stdout.lines().find(|line| line.starts_with(NAME));
    let line = line.with_context(|| format!("not imported as {NAME}: {}", list.describe()))?;
    for word in ["application/vnd.oci.image.manifest.v1+json", &digest, "linux/"] {
        ensure!(line.contains(word), "no word of `{word}` in {line}");
    }
    // Complete: every blob is there, and the layer was unpacked under the digest that is promised.
    let check = containerd.ctr(&["images", "check"])?.expect_code(0)?;
    let line = check.stdout.lines().find(|line| line.starts_with(NAME)).context("not checked")?;
    ensure!(line.contains("complete (2/2)") && line.ends_with("true"), "{}", check.describe());
    Ok(())
}
