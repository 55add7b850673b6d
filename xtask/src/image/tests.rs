//! The barrier's image, built from two checkouts in two places; and images of two architectures under one name.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::built::{Built, Description, sha256};
use super::layer::Layer;
use super::program::Tree;
use super::{Archive, Image};
use crate::cross::{Architecture, elf_machine};
use crate::shell;

/// The promise of the barrier's image, bytes.
const MOST_BYTES: usize = 1 << 20;

/// Copies what git tracks, or would track.
fn copy_checkout(to: &Path) {
    let mut list = shell::command("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    for name in shell::capture(list).unwrap().split_terminator('\0') {
        let (from, to) = (shell::root().join(name), to.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
}

/// Regular files and folders of a tar by name.
fn unpack(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries
        .map(|mut entry| {
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (0, 0));
            assert_eq!((header.gid().unwrap(), header.mode().unwrap()), (0, 0o755));
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

/// The blob that `descriptor` names, its digest and size checked.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let hex = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = &files[&format!("blobs/sha256/{hex}")];
    assert_eq!(json!(bytes.len()), descriptor["size"]);
    assert_eq!(sha256(bytes), hex);
    bytes
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn check_content(archive: &Archive) {
    assert!(archive.size_bytes() <= MOST_BYTES, "{} bytes", archive.size_bytes());
    let files = unpack(&archive.tar("registry.example.com/weir/weir-initc", "9").unwrap());
    assert_eq!(parse(&files["oci-layout"]), json!({"imageLayoutVersion": "1.0.0"}));
    let named = &parse(&files["index.json"])["manifests"][0];
    let annotations = json!({
        "io.containerd.image.name": "registry.example.com/weir/weir-initc:9",
        "org.opencontainers.image.ref.name": "9",
    });
    assert_eq!(named["annotations"], annotations);
    assert_eq!(named["digest"], archive.digest());

    let manifest = parse(blob(&files, named));
    let config = parse(blob(&files, &manifest["config"]));
    assert_eq!(config["architecture"], Architecture::host().unwrap().name());
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/weir-initc"]));
    assert_eq!(config["config"].get("Cmd"), None);
    for label in ["title", "version", "licenses", "source"] {
        let label = format!("org.opencontainers.image.{label}");
        assert!(config["config"]["Labels"][&label].is_string(), "{label}");
    }

    let mut layer = Vec::new();
    GzDecoder::new(blob(&files, &manifest["layers"][0])).read_to_end(&mut layer).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", sha256(&layer))]));
    let content = unpack(&layer);
    assert_eq!(content.keys().collect::<Vec<_>>(), ["weir-initc"]);
    let machine = Architecture::host().unwrap().elf_machine();
    assert_eq!(elf_machine(&content["weir-initc"]), Some(machine));
}

/// No folder of the building machine is named in the program.
fn check_paths(archive: &Archive, folders: &[&Path]) {
    let mut tar = Vec::new();
    for layer in archive.layers() {
        GzDecoder::new(layer).read_to_end(&mut tar).unwrap();
    }
    for folder in folders {
        let path = folder.to_str().unwrap().as_bytes();
        let found = tar.windows(path.len()).any(|window| window == path);
        assert!(!found, "the program names {}", folder.display());
    }
}

#[test]
fn the_barrier_s_image_is_the_same_from_everywhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let checkout = elsewhere.path().join("a folder of another name");
    copy_checkout(&checkout);
    let built = tempfile::tempdir().unwrap();
    let of = |tree: &Tree| Image::WeirInitc.build_all(tree, &[]).unwrap();
    let here = of(&Tree::new(shell::root(), built.path()));
    let other_target = checkout.join("out");
    let there = of(&Tree::new(&checkout, &other_target));
    assert_eq!(here.digest(), there.digest());
    assert_eq!(here.tar("a", "1").unwrap(), there.tar("a", "1").unwrap());
    let home = shell::cargo_home().unwrap();
    check_paths(&here, &[shell::root(), built.path(), &home]);
    check_content(&here);
}

/// An image of a program that is a header and nothing else.
fn image(architecture: Architecture, folder: &Path) -> Built {
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(18, 0);
    program.extend(architecture.elf_machine().to_le_bytes());
    let path = folder.join(architecture.name());
    fs::write(&path, program).unwrap();
    let mut layer = Layer::new(architecture);
    layer.program("/weir", &path).unwrap();
    let (entry, labels) = ("/weir".to_owned(), BTreeMap::new());
    Built::new(&layer, &Description { entry, command: &["agent"], user: None, labels }).unwrap()
}

#[test]
fn one_digest_names_the_images_of_two_architectures() {
    let folder = tempfile::tempdir().unwrap();
    let built = |architecture| image(architecture, folder.path());
    let (amd, arm) = (built(Architecture::Amd64), built(Architecture::Arm64));
    let archive = Archive::new(amd.clone(), vec![arm.clone()]).unwrap();
    let files = unpack(&archive.tar("registry.example.com/weir/weir", "9").unwrap());
    let named = &parse(&files["index.json"])["manifests"];
    assert_eq!(named.as_array().unwrap().len(), 1);
    assert_eq!(named[0]["digest"], archive.digest());
    assert_eq!(named[0]["mediaType"], "application/vnd.oci.image.index.v1+json");
    let index = parse(blob(&files, &named[0]));
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let manifests = index["manifests"].as_array().unwrap();
    for (descriptor, (architecture, alone)) in
        manifests.iter().zip([("amd64", amd), ("arm64", arm)])
    {
        assert_eq!(descriptor["platform"], json!({"architecture": architecture, "os": "linux"}));
        // The image is the one that is built for this architecture alone.
        let alone = Archive::new(alone, Vec::new()).unwrap();
        assert_eq!(descriptor["digest"], alone.digest());
        let manifest = parse(blob(&files, descriptor));
        let config = parse(blob(&files, &manifest["config"]));
        assert_eq!(
            (&config["architecture"], &config["os"]),
            (&json!(architecture), &json!("linux"))
        );
        let mut layer = Vec::new();
        GzDecoder::new(blob(&files, &manifest["layers"][0])).read_to_end(&mut layer).unwrap();
        let machine = if architecture == "amd64" { 62 } else { 183 };
        assert_eq!(elf_machine(&unpack(&layer)["weir"]), Some(machine));
    }
    assert_eq!(manifests.len(), 2);
}
