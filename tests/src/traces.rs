//! What is of pods on a node: weir's pins, journals and slots, containerd's namespaces and cgroups.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::exec::{self, DEFAULT_LIMIT};
use crate::looks::Looks;
use crate::node::Node;

/// Where the agent pins.
pub const PINS: &str = "/sys/fs/bpf/weir";
/// Where the agent keeps its journals.
const JOURNALS: &str = "/run/weir/pods";
const CGROUPS: &str = "kubepods/besteffort";

/// The agent's layouts on bpffs, by name.
pub fn layouts(node: &Node) -> Result<BTreeSet<String>> {
    names(&node.path(PINS))
}

/// The sandboxes that have pins in a layout.
pub fn pinned(node: &Node, layout: &str) -> Result<BTreeSet<String>> {
    names(&node.path(PINS).join(layout).join("pods"))
}

/// Waits until these sandboxes have pins in a layout and no others: a pod's end may be behind what its agent has said.
pub fn pinned_become(node: &Node, layout: &str, wanted: &[&str]) -> Result<()> {
    let wanted = wanted.iter().map(|&sandbox| sandbox.to_owned()).collect();
    become_those(&wanted, || pinned(node, layout))
}

/// Waits until nothing of weir's is left of any pod.
pub fn weir_lets_go(node: &Node) -> Result<()> {
    become_those(&BTreeSet::new(), || of_weir(node))
}

fn become_those(
    wanted: &BTreeSet<String>,
    look: impl Fn() -> Result<BTreeSet<String>>,
) -> Result<()> {
    let looks = Looks::within(DEFAULT_LIMIT);
    loop {
        let found = look()?;
        if found == *wanted {
            return Ok(());
        }
        ensure!(looks.again(), "found {found:?}, and not {wanted:?}");
    }
}

/// The only layout there is.
pub fn layout(node: &Node) -> Result<String> {
    let layouts = layouts(node)?;
    ensure!(layouts.len() == 1, "layouts {layouts:?}");
    layouts.into_iter().next().context("no layout")
}

/// Everything of weir's that belongs to some pod.
pub fn of_weir(node: &Node) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for layout in layouts(node)? {
        let pods = pinned(node, &layout)?;
        found.extend(pods.into_iter().map(|pod| format!("pins of {pod} in {layout}")));
        for slot in slots(node, &layout)? {
            found.insert(format!("slot {slot} of {layout}"));
        }
        for device in devices(node, &layout)? {
            found.insert(format!("guarded device {device} of {layout}"));
        }
    }
    let journals = names(&node.path(JOURNALS))?;
    found.extend(journals.into_iter().map(|pod| format!("journal of {pod}")));
    Ok(found)
}

/// Everything of pods, whoever made it.
pub fn of_pods(node: &Node) -> Result<BTreeSet<String>> {
    let mut found = of_weir(node)?;
    let namespaces = names(&node.path("/run/netns"))?;
    found.extend(namespaces.into_iter().map(|name| format!("network namespace {name}")));
    let cgroups = names(&node.cgroup_root().join(CGROUPS))?;
    let pods = cgroups.into_iter().filter(|name| name.starts_with("pod"));
    found.extend(pods.map(|name| format!("cgroup {name}")));
    Ok(found)
}

/// Fails if anything is left of any pod.
pub fn none(node: &Node) -> Result<()> {
    let left = of_pods(node)?;
    ensure!(left.is_empty(), "left over: {left:?}");
    Ok(())
}

/// The identifiers of the programs in a sandbox's pinned links, by the link's name.
pub fn programs(node: &Node, sandbox: &str) -> Result<Vec<(String, u64)>> {
    let folder = Path::new(PINS).join(layout(node)?).join("pods").join(sandbox);
    let mut programs = Vec::new();
    for name in names(&node.path(&folder))? {
        let link = bpftool(node, &["link", "show", "pinned"], &folder.join(&name))?;
        let program = link
            .get("prog_id")
            .and_then(Value::as_u64)
            .with_context(|| format!("{name}: {link}"))?;
        programs.push((name, program));
    }
    Ok(programs)
}

/// Slots that have a state.
fn slots(node: &Node, layout: &str) -> Result<Vec<u64>> {
    let states = table(node, layout, "PODS")?;
    let used = states.iter().filter(|(_, state)| state.iter().any(|byte| *byte != 0));
    Ok(used.map(|(slot, _)| *slot).collect())
}

/// Devices whose packets the second layer judges.
fn devices(node: &Node, layout: &str) -> Result<Vec<u64>> {
    Ok(table(node, layout, "WIRES")?.into_iter().map(|(device, _)| device).collect())
}

/// The keys of a table of weir's, by its name.
pub fn keys(node: &Node, name: &str) -> Result<BTreeSet<Vec<u8>>> {
    let entries = dump(node, &layout(node)?, name)?;
    entries.iter().map(|entry| bytes(&entry["key"])).collect()
}

/// A table whose keys are words.
fn table(node: &Node, layout: &str, name: &str) -> Result<Vec<(u64, Vec<u8>)>> {
    dump(node, layout, name)?
        .iter()
        .map(|entry| {
            let key = bytes(&entry["key"])?;
            let key = u32::from_le_bytes(key.as_slice().try_into().context("a key of a word")?);
            Ok((key.into(), bytes(&entry["value"])?))
        })
        .collect()
}

/// The entries of a table, as bpftool tells of them; none where there is no such table.
fn dump(node: &Node, layout: &str, name: &str) -> Result<Vec<Value>> {
    let pin = Path::new(PINS).join(layout).join("tables").join(name);
    if !node.path(&pin).exists() {
        return Ok(Vec::new());
    }
    match bpftool(node, &["map", "dump", "pinned"], &pin)? {
        Value::Array(entries) => Ok(entries),
        dumped => bail!("{name}: {dumped}"),
    }
}

/// `["0x00", …]`, as bpftool writes bytes.
fn bytes(list: &Value) -> Result<Vec<u8>> {
    let list = list.as_array().with_context(|| format!("no bytes: {list}"))?;
    list.iter()
        .map(|byte| {
            let byte = byte.as_str().context("a byte that is no text")?;
            Ok(u8::from_str_radix(byte.trim_start_matches("0x"), 16)?)
        })
        .collect()
}

fn bpftool(node: &Node, words: &[&str], pin: &Path) -> Result<Value> {
    let mut command = node.command("bpftool");
    command.arg("--json").args(words).arg(pin);
    let output = exec::run(command, DEFAULT_LIMIT)?.expect_code(0)?;
    serde_json::from_str(&output.stdout).context("parsing what bpftool tells")
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.with_context(|| format!("listing {}", folder.display()))?,
    };
    // One that goes away meanwhile is not there.
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}
