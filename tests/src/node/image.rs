//! Container images made by hand: one layer with busybox and whatever a test adds, as an OCI layout.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exec::{self, DEFAULT_LIMIT};

/// The statically linked busybox of the package busybox-static.
const BUSYBOX: &str = "/bin/busybox";

/// An image to be: files are added, then a node imports it.
#[derive(Clone, Debug)]
pub struct Image {
    reference: String,
    files: Vec<(PathBuf, String)>,
    command: Vec<String>,
    entry_point: Option<String>,
}

impl Image {
    /// An image named `NAME:lab` below a registry that does not exist, with busybox in `/bin` and a shell
    /// as its command.
    #[must_use]
    pub fn busybox(name: &str) -> Self {
        let reference = format!("registry.example.com/{name}:lab");
        let command = vec!["/bin/sh".to_owned()];
        Self { reference, files: Vec::new(), command, entry_point: None }
    }

    /// What the sandbox container of every pod runs.
    pub(super) fn pause() -> Self {
        Self::busybox("pause").command(&["/bin/sleep", "2147483647"])
    }

    /// Adds the file at `source` as `inside`, an absolute path, executable by all. A program that is not
    /// static brings its libraries.
    #[must_use]
    pub fn program(mut self, source: impl Into<PathBuf>, inside: &str) -> Self {
        self.files.push((source.into(), inside.to_owned()));
        self
    }

    /// Sets the command of containers that name none.
    #[must_use]
    pub fn command(mut self, argv: &[&str]) -> Self {
        self.command = argv.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets the program of containers, whose arguments are the command or what they name instead.
    #[must_use]
    pub fn entry_point(mut self, program: &str) -> Self {
        self.entry_point = Some(program.to_owned());
        self
    }

    /// The files of this machine that it is made of; of libraries the list of all, which each upgrade writes anew.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter().map(|(source, _)| source.as_path());
        [BUSYBOX, "/etc/ld.so.cache"].into_iter().map(Path::new).chain(files)
    }

    /// The name under which pods ask for it.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Writes the image into `folder` and returns the archive: an OCI image layout (image-layout.md of the
    /// OCI image specification) whose index carries the name that containerd imports it under.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let root = folder.join("rootfs");
        self.fill(&root)?;
        let layer = folder.join("layer.tar");
        pack(&root, &layer)?;
        let mut layout = Layout::create(folder.join("layout"))?;
        let layer = layout.add("layer.v1.tar", &fs::read(layer)?)?;
        let config = self.config(&layer.digest).to_string();
        let config = layout.add("config.v1+json", config.as_bytes())?;
        let no_notes = json!({});
        let manifest = json!({
            "schemaVersion": 2,
            "config": config.describe(&no_notes),
            "layers": [layer.describe(&no_notes)],
        });
        let manifest = layout.add("manifest.v1+json", manifest.to_string().as_bytes())?;
        let name = json!({"io.containerd.image.name": self.reference});
        let archive = folder.join("image.tar");
        let index = json!({"schemaVersion": 2, "manifests": [manifest.describe(&name)]});
        layout.finish(&index, &archive)?;
        Ok(archive)
    }

    /// Writes the image into `folder` and returns the archive: what `docker save` writes, and `docker load`
    /// of any version reads (docker image specification v1.2).
    pub(super) fn write_for_docker(&self, folder: &Path) -> Result<PathBuf> {
        let root = folder.join("rootfs");
        self.fill(&root)?;
        let saved = folder.join("saved");
        fs::create_dir_all(&saved)?;
        pack(&root, &saved.join("layer.tar"))?;
        let digest = digest_of(&fs::read(saved.join("layer.tar"))?)?;
        fs::write(saved.join("config.json"), self.config(&digest).to_string())?;
        let manifest = json!([{
            "Config": "config.json",
            "RepoTags": [self.reference],
            "Layers": ["layer.tar"],
        }]);
        fs::write(saved.join("manifest.json"), manifest.to_string())?;
        let archive = folder.join("image.tar");
        pack(&saved, &archive)?;
        Ok(archive)
    }

    /// The image's configuration, with its one layer.
    fn config(&self, layer: &str) -> Value {
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entry_point.as_slice(),
                "Cmd": self.command,
                "Env": ["PATH=/bin"],
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        })
    }

    fn fill(&self, root: &Path) -> Result<()> {
        for name in ["bin", "etc", "dev", "proc", "sys", "tmp", "run", "root"] {
            fs::create_dir_all(root.join(name))?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\n")?;
        fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
        let busybox = fs::canonicalize(BUSYBOX).context("no busybox: install busybox-static")?;
        fs::copy(&busybox, root.join("bin/busybox"))?;
        let mut list = Command::new(&busybox);
        list.arg("--list");
        let applets = exec::run(list, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
        for applet in applets.lines().filter(|&name| name != "busybox") {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        let mut files = self.files.clone();
        for (source, _) in &self.files {
            files.extend(libraries(source)?.into_iter().map(|path| (path.clone().into(), path)));
        }
        for (source, inside) in &files {
            let target = root.join(inside.trim_start_matches('/'));
            fs::create_dir_all(target.parent().context("a program without a folder")?)?;
            fs::copy(source, &target).with_context(|| format!("copying {}", source.display()))?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }
}

/// A stored blob.
struct Blob {
    kind: &'static str,
    digest: String,
    size: usize,
}

impl Blob {
    /// Its descriptor (descriptor.md of the OCI image specification).
    fn describe(&self, annotations: &Value) -> Value {
        json!({
            "mediaType": format!("application/vnd.oci.image.{}", self.kind),
            "digest": self.digest,
            "size": self.size,
            "annotations": annotations,
        })
    }
}

/// The blobs of an OCI layout, named by what they hold.
struct Layout {
    folder: PathBuf,
}

impl Layout {
    fn create(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        Ok(Self { folder })
    }

    /// Stores `bytes`, which are an `application/vnd.oci.image.KIND`.
    fn add(&mut self, kind: &'static str, bytes: &[u8]) -> Result<Blob> {
        let digest = digest_of(bytes)?;
        let name = digest.trim_start_matches("sha256:");
        fs::write(self.folder.join("blobs/sha256").join(name), bytes)?;
        Ok(Blob { kind, digest, size: bytes.len() })
    }

    fn finish(self, index: &Value, archive: &Path) -> Result<()> {
        fs::write(self.folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        fs::write(self.folder.join("index.json"), index.to_string())?;
        pack(&self.folder, archive)
    }
}

/// The digest of `bytes` as the OCI writes it: `sha256:HEX`.
fn digest_of(bytes: &[u8]) -> Result<String> {
    let mut digest = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        write!(digest, "{byte:02x}")?;
    }
    Ok(digest)
}

/// The shared objects that the dynamic linker loads for `program`, itself included; none for what is static
/// or no program.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program);
    let said = exec::run(ldd, DEFAULT_LIMIT)?.stdout;
    // `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the linker; the kernel's own has no path.
    let words = said.lines().filter_map(|line| line.split_whitespace().rev().nth(1));
    Ok(words.filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// Everything in `folder`, owned by root, as a tar archive.
fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--numeric-owner", "--owner=0", "--group=0", "--file"]);
    tar.arg(archive).arg("--directory").arg(folder).arg(".");
    let output = exec::run(tar, DEFAULT_LIMIT)?;
    ensure!(output.code == 0, "packing {}: {}", folder.display(), output.describe());
    Ok(())
}

/// The architecture as Go and the OCI call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
