//! A configuration as a file with comments.

use std::fmt::Write as _;
use std::path::Path;

use super::{Config, Containerd, Dns, Events, HardBlocks, Limits, Log, Policy, Require, Select};

pub(super) fn render(config: &Config) -> String {
    let mut page = Page::default();
    // Taken apart without `..`, so that no key can be forgotten here.
    let Config {
        node,
        containerd,
        cgroup_root,
        bpffs,
        policy,
        select,
        dns,
        hard_blocks,
        limits,
        require,
        events,
        http,
        control,
        log,
    } = config;
    page.line(
        0,
        "node",
        &or(node.as_deref(), "auto"),
        "name in records; auto: from NODE_NAME, else the host's",
    );
    let Containerd { socket, namespace } = containerd;
    page.section("containerd");
    page.line(1, "socket", &path(socket), "");
    page.line(1, "namespace", &quoted(namespace), "containerd's own, not one of Kubernetes");
    page.line(
        0,
        "cgroupRoot",
        &or(cgroup_root.as_deref().map(Path::to_string_lossy).as_deref(), "auto"),
        "where cgroup2 is mounted; auto: found by its type",
    );
    page.line(0, "bpffs", &path(bpffs), "where links and maps are pinned");
    let Policy { dir, default, namespaces } = policy;
    page.section("policy");
    page.line(1, "dir", &path(dir), "every *.yaml file in it is one profile");
    page.line(
        1,
        "default",
        &quoted(default),
        "profile of pods whose namespace names none; deny-all is built in",
    );
    page.line(1, "namespaces", &map(namespaces), "Kubernetes namespace: profile");
    let Select { namespaces, pod_labels } = select;
    page.section("select");
    page.line(1, "namespaces", &list(namespaces.iter().map(|name| quoted(name))), "pods in these");
    page.line(
        1,
        "podLabels",
        &map(pod_labels),
        "that carry all of these labels; pods with the barrier, too",
    );
    let Dns { upstreams, cache_entries } = dns;
    page.section("dns");
    page.line(
        1,
        "upstreams",
        &list(upstreams.iter().map(|server| quoted(&server.to_string()))),
        "ADDR or ADDR:PORT; empty: those of the node's resolv.conf",
    );
    page.line(1, "cacheEntries", &cache_entries.to_string(), "answers kept for all pods together");
    let HardBlocks { metadata, dot } = hard_blocks;
    page.section("hardBlocks");
    page.line(
        1,
        "metadata",
        &metadata.to_string(),
        "refuse cloud metadata services, whatever a profile says",
    );
    page.line(
        1,
        "dot",
        &dot.to_string(),
        "refuse DNS over TLS and QUIC (port 853), whatever a profile says",
    );
    let Limits { entries_per_pod, pod_slots } = limits;
    page.section("limits");
    page.line(
        1,
        "entriesPerPod",
        &entries_per_pod.to_string(),
        "addresses that a pod may be allowed at one time",
    );
    page.line(
        1,
        "podSlots",
        &pod_slots.to_string(),
        "one more than the pods enforced at one time; at most 256",
    );
    let Require { veth } = require;
    page.section("require");
    page.line(
        1,
        "veth",
        &veth.to_string(),
        "a pod whose veth cannot be guarded is not enforced, its barrier never passes",
    );
    let Events { stdout, file } = events;
    page.section("events");
    page.line(1, "stdout", &stdout.to_string(), "records, one JSON object a line");
    page.line(
        1,
        "file",
        &or(file.as_deref().map(Path::to_string_lossy).as_deref(), "null"),
        "a file that records are appended to; null: none",
    );
    page.line(
        0,
        "http",
        &or(http.map(|address| address.to_string()).as_deref(), "null"),
        "/healthz and /readyz; null: off",
    );
    page.line(0, "control", &path(control), "for `weir pods`, root only");
    let Log { format } = log;
    page.section("log");
    page.line(
        1,
        "format",
        format.as_str(),
        "text or json, on standard error; the level is WEIR_LOG's",
    );
    page.0
}

/// The file so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn section(&mut self, key: &str) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(self.0, "{key}:");
    }

    fn line(&mut self, depth: usize, key: &str, value: &str, comment: &str) {
        let line = format!("{:indent$}{key}: {value}", "", indent = depth * 2);
        let _infallible = match comment {
            "" => writeln!(self.0, "{line}"),
            comment => writeln!(self.0, "{line:<44}  # {comment}"),
        };
    }
}

fn or(value: Option<&str>, word: &str) -> String {
    value.map_or_else(|| word.to_owned(), quoted)
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn list(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}

fn map(entries: &std::collections::BTreeMap<String, String>) -> String {
    if entries.is_empty() {
        return "{}".to_owned();
    }
    let entry = |(key, value): (&String, &String)| format!("{}: {}", quoted(key), quoted(value));
    format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
}

/// A text as a YAML scalar: plain where nothing in it could mean something else, else in double quotes.
fn quoted(text: &str) -> String {
    let plain = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '/' | '.' | '_' | '-' | ':')
    };
    let begins = text.starts_with(|first: char| first == '/' || first.is_ascii_alphanumeric());
    let is_word = matches!(text, "null" | "Null" | "NULL" | "auto");
    if begins && !is_word && text.chars().all(plain) && !text.ends_with(':') {
        return text.to_owned();
    }
    let mut scalar = String::from('"');
    for character in text.chars() {
        // YAML 1.2.2, sections 5.1 and 5.7: what is not printable is written by its number.
        let _infallible = match character {
            '"' | '\\' => write!(scalar, "\\{character}"),
            ' '..='~' => write!(scalar, "{character}"),
            _ if character.is_alphanumeric() => write!(scalar, "{character}"),
            _ => write!(scalar, "\\U{:08x}", u32::from(character)),
        };
    }
    scalar.push('"');
    scalar
}
