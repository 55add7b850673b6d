//! The archives that `cargo xtask image` writes, read by a real containerd.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::exec::{self, DEFAULT_LIMIT, Output, Running};
use weir_tests::skip::{self, Skip};

/// Builds a small program in two profiles, on a machine that may be busy; for another architecture its compiler may
/// have to be fetched first.
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

/// Builds the barrier's image into `out`.
fn build(out: &Path, more: &[&str]) -> Result<Output> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--locked", "--package", "xtask", "--", "image"]);
    command.args(["--only", "weir-initc", "--repository", "registry.example.com/ci"]);
    command.args(["--tag", "tested", "--out"]).arg(out).args(more);
    exec::run(command, BUILD_LIMIT)
}

/// The archive that was built into `out`, and the digest that was printed.
fn built(out: &Path, output: Output) -> Result<(String, String)> {
    let output = output.expect_code(0)?;
    let line = output.stdout.lines().find(|line| line.starts_with(NAME));
    let digest = line.and_then(|line| line.split_whitespace().nth(1));
    let digest = digest.with_context(|| format!("no digest was printed: {}", output.describe()))?;
    let archive = out.join("weir-initc.tar");
    Ok((archive.to_str().context("a path that is no text")?.to_owned(), digest.to_owned()))
}

/// Which machine the first program of a layer is for (`e_machine`): in the tar its header takes one block of 512 bytes.
fn machine(layer: &[u8]) -> Result<u16> {
    let bytes = layer.get(512..532).context("a layer without a file")?;
    ensure!(bytes.starts_with(b"\x7fELF"), "a layer that begins with no program");
    let [low, high] = *bytes.get(18..20).and_then(<[u8]>::first_chunk).context("a short header")?;
    Ok(u16::from_le_bytes([low, high]))
}

#[test]
fn containerd_imports_the_barrier() -> Result<()> {
    let out = tempfile::tempdir()?;
    let (archive, digest) = built(out.path(), build(out.path(), &[])?)?;
    let containerd = Containerd::start()?;
    containerd.ctr(&["images", "import", "--digests", &archive])?.expect_code(0)?;

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

#[test]
fn one_digest_serves_both_architectures() -> Result<()> {
    let out = tempfile::tempdir()?;
    let output = build(out.path(), &["--arch", "arm64,amd64"])?;
    // Whatever else fails is a failure.
    if output.code != 0 && output.stdout.contains(": fetching packages: ") {
        eprintln!("{}", output.describe());
        return skip::record("one_digest_serves_both_architectures", Skip::NoCrossCompiler);
    }
    let (archive, digest) = built(out.path(), output)?;
    let containerd = Containerd::start()?;
    let import = ["images", "import", "--digests", "--all-platforms", &archive];
    containerd.ctr(&import)?.expect_code(0)?;
    let list = containerd.ctr(&["images", "list"])?.expect_code(0)?;
    let line = list.stdout.lines().find(|line| line.starts_with(NAME));
    let line = line.with_context(|| format!("not imported as {NAME}: {}", list.describe()))?;
    for word in ["application/vnd.oci.image.index.v1+json", &digest, "linux/amd64,linux/arm64"] {
        ensure!(line.contains(word), "no word of `{word}` in {line}");
    }
    // By the one digest a node finds the program for its own machine.
    let blob = |digest: &str| -> Result<Vec<u8>> {
        let (_, hex) = digest.split_once(':').context("no digest")?;
        let blobs = "root/io.containerd.content.v1.content/blobs/sha256";
        Ok(std::fs::read(containerd.folder.path().join(blobs).join(hex))?)
    };
    let json = |digest: &str| -> Result<Value> { Ok(serde_json::from_slice(&blob(digest)?)?) };
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    let mut found = Vec::new();
    for descriptor in json(&digest)?["manifests"].as_array().context("no index")? {
        let manifest = json(&text(&descriptor["digest"])?)?;
        let config = json(&text(&manifest["config"]["digest"])?)?;
        ensure!(config["architecture"] == descriptor["platform"]["architecture"], "{config}");
        let mut layer = Vec::new();
        let compressed = blob(&text(&manifest["layers"][0]["digest"])?)?;
        GzDecoder::new(compressed.as_slice()).read_to_end(&mut layer)?;
        found.push((text(&config["architecture"])?, machine(&layer)?));
        // What cross building takes lies in the checkout, and no program names it.
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no checkout")?;
        let checkout = checkout.as_os_str().as_encoded_bytes();
        let names = layer.windows(checkout.len()).any(|window| window == checkout);
        ensure!(!names, "a program names the folder that it was built in");
    }
    // EM_X86_64 and EM_AARCH64.
    let expected =
        [("amd64", 62), ("arm64", 183)].map(|(name, machine)| (name.to_owned(), machine));
    ensure!(found == expected, "{found:?}");
    Ok(())
}
