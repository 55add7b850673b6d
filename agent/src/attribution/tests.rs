//! Paths and ancestries from what the kernel remembered.

#![expect(clippy::cast_possible_truncation, reason = "small test data")]

use weir_ebpf::process::{ANCESTORS, Ancestor, COMPONENT_BYTES, PATH_COMPONENTS, Process};

use super::{ancestors, binary, text};

fn padded<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn process(path: &[&str], complete: bool, chain: &[(&str, u32)]) -> Process {
    let mut process = Process {
        container: 0,
        arguments: 0,
        path: [[0; COMPONENT_BYTES]; PATH_COMPONENTS],
        ancestors: [Ancestor::default(); ANCESTORS],
        comm: [0; 16],
        components: path.len() as u32,
        ancestor_count: chain.len() as u32,
        path_complete: u32::from(complete),
        ready: 1,
    };
    for (slot, name) in process.path.iter_mut().zip(path) {
        *slot = padded(name);
    }
    for (slot, (name, tgid)) in process.ancestors.iter_mut().zip(chain) {
        *slot = Ancestor { comm: padded(name), tgid: *tgid };
    }
    process
}

#[test]
fn a_path_is_read_from_its_end() {
    let node = process(&["node", "bin", "local", "usr"], true, &[]);
    assert_eq!(binary(&node).as_deref(), Some("/usr/local/bin/node"));
}

#[test]
fn a_cut_path_says_so() {
    let deep = process(&["esbuild", "bin"], false, &[]);
    assert_eq!(binary(&deep).as_deref(), Some("…/bin/esbuild"));
}

#[test]
fn no_component_is_no_path() {
    assert_eq!(binary(&process(&[], true, &[])), None);
}

#[test]
fn the_ancestors_end_below_the_launcher_and_its_init() {
    let chain = [("npm", 50), ("sh", 49), ("weir", 48), ("weir", 47), ("bash", 1)];
    let node = process(&[], true, &chain);
    let names: Vec<String> = ancestors(&node, Some(47)).iter().map(|one| text(&one.comm)).collect();
    assert_eq!(names, ["npm", "sh"]);
}

#[test]
fn a_job_that_calls_itself_weir_keeps_its_ancestors() {
    let node = process(&[], true, &[("weir", 50), ("sh", 49)]);
    assert_eq!(ancestors(&node, Some(47)).len(), 2);
}
