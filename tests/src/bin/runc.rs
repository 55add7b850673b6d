//! What a node's containerd runs as its OCI runtime: takes out of a bundle what the machine need not have, and becomes the
//! runtime that containerd's environment names.
//!
//! Limits are the kubelet's concern, not weir's, and the cgroup of a node need not have the controllers for them. For a
//! pod in a slice containerd asks runc's systemd driver by `SLICE:PREFIX:ID`; of that is made the path that systemd would
//! choose. A program and no script: it runs a dozen times for each pod, also where the machine is emulated.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_tests::node::RUNTIME;

/// Of a container's resources.
const LIMITS: [&str; 5] = ["cpu", "memory", "pids", "unified", "hugepageLimits"];

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let is_flag = |pair: &&[_]| matches!(pair, [flag, _] if flag == "--bundle" || flag == "-b");
    if let Some([_, bundle]) = words.windows(2).find(is_flag) {
        rewrite(&Path::new(bundle).join("config.json"))?;
    }
    let runtime = std::env::var(RUNTIME).with_context(|| format!("{RUNTIME} is not set"))?;
    Err(Command::new(&runtime).args(words).exec()).with_context(|| format!("executing {runtime}"))
}

/// Changes the bundle with this configuration.
fn rewrite(path: &Path) -> Result<()> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut config: Value = serde_json::from_slice(&text)?;
    let linux = config.get_mut("linux").context("a bundle that is not for Linux")?;
    if let Some(resources) = linux.get_mut("resources").and_then(Value::as_object_mut) {
        resources.retain(|name, _| !LIMITS.contains(&name.as_str()));
    }
    if let Some(place) = linux.get_mut("cgroupsPath") {
        let chosen = place.as_str().and_then(chosen_by_systemd);
        if let Some(chosen) = chosen {
            *place = chosen.into();
        }
    }
    fs::write(path, serde_json::to_vec(&config)?)
        .with_context(|| format!("writing {}", path.display()))
}

/// `/a.slice/a-b.slice/prefix-id.scope` for `a-b.slice:prefix:id`.
fn chosen_by_systemd(asked: &str) -> Option<String> {
    let (slice, rest) = asked.split_once(':')?;
    let (prefix, id) = rest.split_once(':')?;
    let (mut path, mut level) = (String::new(), String::new());
    for part in slice.strip_suffix(".slice").filter(|it| !it.contains('/'))?.split('-') {
        level = if level.is_empty() { part.to_owned() } else { format!("{level}-{part}") };
        path = format!("{path}/{level}.slice");
    }
    Some(format!("{path}/{prefix}-{id}.scope"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_in_a_slice_gets_the_place_that_systemd_would_choose() {
        let asked = "kubepods-besteffort-pod1.slice:cri-containerd:abc";
        let place = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-abc.scope";
        assert_eq!(chosen_by_systemd(asked).as_deref(), Some(place));
        assert_eq!(chosen_by_systemd("/kubepods/besteffort/pod1/abc"), None);
    }

    #[test]
    fn limits_go_and_what_a_container_may_do_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let config = serde_json::json!({"linux": {
            "cgroupsPath": "/kubepods/pod1/abc",
            "resources": {"memory": {"limit": 1}, "pids": {"limit": 2}, "devices": [{"allow": false}]},
        }});
        fs::write(&path, config.to_string()).unwrap();
        rewrite(&path).unwrap();
        let left: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({"linux": {
            "cgroupsPath": "/kubepods/pod1/abc",
            "resources": {"devices": [{"allow": false}]},
        }});
        assert_eq!(left, expected);
    }
}
