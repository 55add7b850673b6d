//! Images of one name, each for an architecture, in one archive (OCI image specification 1.0: image-index.md,
//! image-layout.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::built::{Blob, Built, Descriptor};
use super::layer;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What is pushed and imported under one name.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    first: Built,
    more: Vec<Built>,
    /// What names all of them, where there are several.
    index: Option<Blob>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
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

impl Index {
    const fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: INDEX, manifests }
    }
}

impl Archive {
    /// `first` and, for other architectures, `more`.
    pub(super) fn new(first: Built, more: Vec<Built>) -> Result<Self> {
        let index = if more.is_empty() {
            None
        } else {
            let all = std::iter::once(&first).chain(&more);
            Some(Blob::of(&Index::new(all.map(Built::descriptor_in_index).collect()))?)
        };
        Ok(Self { first, more, index })
    }

    fn images(&self) -> impl Iterator<Item = &Built> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The digest by which a pod names this, on whatever architecture, and whatever its tag.
    pub(super) fn digest(&self) -> String {
        self.index.as_ref().map_or_else(|| self.first.manifest.digest(), Blob::digest)
    }

    /// The most that a node fetches, bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let size = |image: &Built| image.blobs().map(|blob| blob.bytes.len()).iter().sum();
        let index = self.index.as_ref().map_or(0, |index| index.bytes.len());
        self.images().map(size).max().unwrap_or(0) + index
    }

    /// The layers as they are fetched.
    #[cfg(test)]
    pub(super) fn layers(&self) -> impl Iterator<Item = &[u8]> {
        self.images().map(|image| image.layer.bytes.as_slice())
    }

    /// The archive, with what it holds named `name:tag`.
    pub(super) fn tar(&self, name: &str, tag: &str) -> Result<Vec<u8>> {
        let mut named = match &self.index {
            Some(index) => index.descriptor(INDEX),
            None => self.first.descriptor(),
        };
        named.annotations.insert("io.containerd.image.name", format!("{name}:{tag}"));
        named.annotations.insert("org.opencontainers.image.ref.name", tag.to_owned());
        // It knows no image of several architectures, and is given the first.
        let docker = [DockerManifest {
            config: self.first.config.path(),
            repo_tags: [format!("{name}:{tag}")],
            layers: [self.first.layer.path()],
        }];
        let blobs = self.images().flat_map(Built::blobs).chain(&self.index);
        let mut files: BTreeMap<String, Vec<u8>> =
            blobs.map(|blob| (blob.path(), blob.bytes.clone())).collect();
        let layout = Layout { image_layout_version: "1.0.0" };
        files.insert("oci-layout".to_owned(), serde_json::to_vec(&layout)?);
        files.insert("index.json".to_owned(), serde_json::to_vec(&Index::new(vec![named]))?);
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
