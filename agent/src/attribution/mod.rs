//! Names processes: from what the socket hooks remembered, or else from `/proc` while it lasts.

use std::{fs, num::NonZeroU64, path::Path};

use serde::{Deserialize, Serialize};
use weir_ebpf::process::{Ancestor, COMM_BYTES, COMPONENT_BYTES, Process, ProcessKey};

/// A process as records show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The name of the thread group leader.
    pub comm: String,
    /// The path of the executable, where it is known.
    pub binary: Option<String>,
    /// Process id in the initial pid namespace; 0 when not known.
    pub pid: u32,
    /// Names from the oldest ancestor that is shown down to the process itself.
    pub ancestry: Vec<String>,
    /// Id of the cgroup of the container that it ran in, where it is known.
    pub container: Option<NonZeroU64>,
    /// Digest of its command line, where it is known.
    #[serde(default)]
    pub arguments: Option<NonZeroU64>,
}

/// Names the process behind an event from what the hooks remembered of it. Ancestors at and above `root` are left out, and so is the one
/// below it: they are weir's own.
#[must_use]
pub fn identify(
    remembered: Option<&Process>,
    key: ProcessKey,
    comm: [u8; COMM_BYTES],
    root: Option<u32>,
) -> Identity {
    let comm = text(&comm);
    let binary = remembered.and_then(binary).or_else(|| binary_of_live(key));
    let mut ancestry: Vec<String> = remembered
        .map(|process| ancestors(process, root).iter().map(|one| text(&one.comm)).collect())
        .unwrap_or_default();
    ancestry.reverse();
    ancestry.push(comm.clone());
    let container = remembered.and_then(|process| NonZeroU64::new(process.container));
    let arguments = remembered.and_then(|process| NonZeroU64::new(process.arguments));
    Identity { comm, binary, pid: key.tgid, ancestry, container, arguments }
}

/// The ancestors that belong to the job, the parent first.
fn ancestors(process: &Process, root: Option<u32>) -> &[Ancestor] {
    let known = usize::try_from(process.ancestor_count).unwrap_or(0);
    let known = process.ancestors.get(..known).unwrap_or(&process.ancestors);
    let end = root.and_then(|root| known.iter().position(|ancestor| ancestor.tgid == root));
    match end {
        Some(end) => known.get(..end.saturating_sub(1)).unwrap_or_default(),
        None => known,
    }
}

/// The path of the executable.
fn binary(process: &Process) -> Option<String> {
    path(&process.path, process.components, process.path_complete == 1)
}

/// A path from its components, the file name first; a walk that ran out of room begins with `…/`.
#[must_use]
pub fn path(components: &[[u8; COMPONENT_BYTES]], count: u32, is_complete: bool) -> Option<String> {
    let components = components.get(..usize::try_from(count).ok()?)?;
    if components.is_empty() {
        return None;
    }
    let mut path = String::from(if is_complete { "" } else { "…" });
    for component in components.iter().rev() {
        path.push('/');
        path.push_str(&text(component));
    }
    Some(path)
}

/// Asks `/proc`, which may already name another process of that id: only without kernel BTF, when the
/// hooks could remember nothing.
fn binary_of_live(key: ProcessKey) -> Option<String> {
    if key.start_ns != 0 || key.tgid == 0 {
        return None;
    }
    let link = fs::read_link(Path::new("/proc").join(key.tgid.to_string()).join("exe")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Text that ends at the first zero; what is not UTF-8 becomes replacement characters.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
