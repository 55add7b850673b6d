//! The image around a layer: blobs named by their digests, and the archive that holds them
//! (OCI image specification 1.0: config.md, manifest.md, image-layout.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::layer::{self, Layer};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What an image says of itself.
#[derive(Debug)]
pub(super) struct Description {
    /// The program that is started.
    pub(super) entry: String,
    /// Its arguments, where nobody gives others.
    pub(super) command: &'static [&'static str],
    /// `UID:GID`; none is root.
    pub(super) user: Option<&'static str>,
    /// Labels of the configuration.
    pub(super) labels: BTreeMap<String, String>,
}

/// A whole image in memory.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    manifest: Blob,
    config: Blob,
    layer: Blob,
}

/// Bytes and their digest.
#[derive(Clone, Debug)]
struct Blob {
    /// SHA-256, lower-case hexadecimal digits.
    hex: String,
    bytes: Vec<u8>,
}

// The order of the fields is the order in the blobs: a change of it changes digests.

#[derive(Serialize)]
struct Configuration<'a> {
    architecture: &'a str,
    os: &'a str,
    config: Run<'a>,
    rootfs: RootFs,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    entrypoint: [&'a str; 1],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [&'a str],
    working_dir: &'a str,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: [Descriptor; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: [Descriptor; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: &'static str,
}

/// What `docker load` reads instead of the index.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    repo_tags: [String; 1],
    layers: [String; 1],
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { hex: sha256(&bytes), bytes }
    }

    fn of(value: &impl Serialize) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?))
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.hex)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hex)
    }

    fn descriptor(&self, media_type: &'static str) -> Descriptor {
        let annotations = BTreeMap::new();
        Descriptor { media_type, digest: self.digest(), size: self.bytes.len(), annotations }
    }
}

impl Archive {
    /// The image of `layer`.
    pub(super) fn new(layer: &Layer, description: &Description) -> Result<Self> {
        let tar = layer.tar()?;
        let Description { entry, command, user, labels } = description;
        let config = Blob::of(&Configuration {
            architecture: architecture(),
            os: "linux",
            config: Run {
                user: *user,
                entrypoint: [entry],
                cmd: command,
                working_dir: "/",
                labels,
            },
            rootfs: RootFs { r#type: "layers", diff_ids: [format!("sha256:{}", sha256(&tar))] },
        })?;
        let layer = Blob::new(layer::compress(&tar)?);
        let manifest = Blob::of(&Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config: config.descriptor(CONFIG),
            layers: [layer.descriptor(LAYER)],
        })?;
        Ok(Self { manifest, config, layer })
    }

    /// The digest by which a manifest names this image, whatever its tag.
    pub(super) fn digest(&self) -> String {
        self.manifest.digest()
    }

    /// What a node fetches, bytes.
    pub(super) fn size_bytes(&self) -> usize {
        [&self.manifest, &self.config, &self.layer].map(|blob| blob.bytes.len()).iter().sum()
    }

    /// The layer as it is fetched.
    #[cfg(test)]
    pub(super) fn layer_bytes(&self) -> &[u8] {
        &self.layer.bytes
    }

    /// The archive, with the image named `name:tag`.
    pub(super) fn tar(&self, name: &str, tag: &str) -> Result<Vec<u8>> {
        let mut manifest = self.manifest.descriptor(MANIFEST);
        manifest.annotations.insert("io.containerd.image.name", format!("{name}:{tag}"));
        manifest.annotations.insert("org.opencontainers.image.ref.name", tag.to_owned());
        let index = Index { schema_version: 2, media_type: INDEX, manifests: [manifest] };
        let docker = [DockerManifest {
            config: self.config.path(),
            repo_tags: [format!("{name}:{tag}")],
            layers: [self.layer.path()],
        }];
        let blobs = [&self.manifest, &self.config, &self.layer];
        let mut files: BTreeMap<String, Vec<u8>> =
            blobs.into_iter().map(|blob| (blob.path(), blob.bytes.clone())).collect();
        let layout = Layout { image_layout_version: "1.0.0" };
        files.insert("oci-layout".to_owned(), serde_json::to_vec(&layout)?);
        files.insert("index.json".to_owned(), serde_json::to_vec(&index)?);
        files.insert("manifest.json".to_owned(), serde_json::to_vec(&docker)?);
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            layer::append(&mut archive, &path, Some(&bytes))?;
        }
        Ok(archive.into_inner()?)
    }

    /// Writes [`Self::tar`] to `path`, whole or not at all.
    pub(super) fn write(&self, path: &Path, name: &str, tag: &str) -> Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, self.tar(name, tag)?)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("writing {}", path.display()))
    }
}

/// This machine's architecture by Go's name, which the specification uses.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
