//! The image around a layer: blobs named by their digests (OCI image specification 1.0: config.md, manifest.md).

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::layer::{self, Layer};
use crate::cross::Architecture;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

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

/// A whole image for one architecture, in memory.
#[derive(Clone, Debug)]
pub(super) struct Built {
    architecture: Architecture,
    pub(super) manifest: Blob,
    pub(super) config: Blob,
    pub(super) layer: Blob,
}

/// Bytes and their digest.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// SHA-256, lower-case hexadecimal digits.
    hex: String,
    pub(super) bytes: Vec<u8>,
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

/// What names a blob.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Platform {
    architecture: &'static str,
    os: &'static str,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { hex: sha256(&bytes), bytes }
    }

    pub(super) fn of(value: &impl Serialize) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?))
    }

    pub(super) fn digest(&self) -> String {
        format!("sha256:{}", self.hex)
    }

    pub(super) fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hex)
    }

    pub(super) fn descriptor(&self, media_type: &'static str) -> Descriptor {
        let annotations = BTreeMap::new();
        let size = self.bytes.len();
        Descriptor { media_type, digest: self.digest(), size, platform: None, annotations }
    }
}

impl Built {
    /// The image of `layer`.
    pub(super) fn new(layer: &Layer, description: &Description) -> Result<Self> {
        let architecture = layer.architecture();
        let tar = layer.tar()?;
        let Description { entry, command, user, labels } = description;
        let config = Blob::of(&Configuration {
            architecture: architecture.name(),
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
        Ok(Self { architecture, manifest, config, layer })
    }

    /// What names it where it is alone.
    pub(super) fn descriptor(&self) -> Descriptor {
        self.manifest.descriptor(MANIFEST)
    }

    /// What names it among others.
    pub(super) fn descriptor_in_index(&self) -> Descriptor {
        let platform = Platform { architecture: self.architecture.name(), os: "linux" };
        Descriptor { platform: Some(platform), ..self.descriptor() }
    }

    /// Its blobs.
    pub(super) const fn blobs(&self) -> [&Blob; 3] {
        [&self.manifest, &self.config, &self.layer]
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
