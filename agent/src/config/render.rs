//! A configuration as a file with comments.

use std::fmt::Write as _;
use std::path::Path;

use super::{
    Config, Containerd, Dns, Events, Gitlab, HardBlocks, JobPage, Kubernetes, Limits, Log, Policy,
    Require, Select,
};

/// Everything is taken apart without `..`, so that no key can be forgotten here.
pub(super) fn render(config: &Config) -> String {
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
        gitlab,
        kubernetes,
        events,
        job_page,
        http,
        control,
        log,
    } = config;
    let http = http.map(|address| address.to_string());
    [
        key(
            "node",
            &or(node.as_deref(), "auto"),
            "name in records; auto: from NODE_NAME, else the host's",
        ),
        section("containerd", &containerd_keys(containerd)),
        key(
            "cgroupRoot",
            &path_or(cgroup_root.as_deref(), "auto"),
            "where cgroup2 is mounted; auto: found by its type",
        ),
        key("bpffs", &path(bpffs), "where links and maps are pinned"),
        section("policy", &policy_keys(policy)),
        section("select", &select_keys(select)),
        section("dns", &dns_keys(dns)),
        section("hardBlocks", &hard_block_keys(*hard_blocks)),
        section("limits", &limit_keys(*limits)),
        section("require", &require_keys(*require)),
        section("gitlab", &gitlab_keys(*gitlab)),
        section("kubernetes", &kubernetes_keys(kubernetes)),
        section("events", &event_keys(events)),
        section("jobPage", &job_page_keys(job_page)),
        key("http", &or(http.as_deref(), "null"), "/healthz, /readyz and /metrics; null: off"),
        key("control", &path(control), "for `weir pods`, root only"),
        section("log", &log_keys(*log)),
    ]
    .concat()
}

/// A key, its value, what it means.
type Line = (&'static str, String, &'static str);

fn containerd_keys(Containerd { socket, namespace }: &Containerd) -> [Line; 2] {
    [
        ("socket", path(socket), "its gRPC socket"),
        ("namespace", quoted(namespace), "containerd's own, not one of Kubernetes"),
    ]
}

fn policy_keys(Policy { dir, mode, default, namespaces }: &Policy) -> [Line; 4] {
    [
        ("dir", path(dir), "every *.yaml file in it is one profile"),
        (
            "mode",
            mode.as_str().to_owned(),
            "profiles: as each profile says; audit: every pod is only watched, whatever its profile says",
        ),
        (
            "default",
            quoted(default),
            "profile of pods whose namespace names none; deny-all is built in",
        ),
        ("namespaces", map(namespaces), "Kubernetes namespace: profile"),
    ]
}

fn select_keys(Select { namespaces, pod_labels }: &Select) -> [Line; 2] {
    [
        ("namespaces", list(namespaces.iter().map(|name| quoted(name))), "pods in these"),
        (
            "podLabels",
            map(pod_labels),
            "that carry all of these labels; besides, any pod with a container `weir-initc`",
        ),
    ]
}

fn dns_keys(Dns { upstreams, cache_entries }: &Dns) -> [Line; 2] {
    let servers = upstreams.iter().map(|server| quoted(&server.to_string()));
    [
        ("upstreams", list(servers), "ADDR or ADDR:PORT; empty: those of the node's resolv.conf"),
        ("cacheEntries", cache_entries.to_string(), "answers kept for all pods together"),
    ]
}

fn hard_block_keys(HardBlocks { metadata, dot }: HardBlocks) -> [Line; 2] {
    [
        (
            "metadata",
            metadata.to_string(),
            "refuse cloud metadata services, whatever a profile says",
        ),
        (
            "dot",
            dot.to_string(),
            "refuse DNS over TLS and QUIC (port 853), whatever a profile says",
        ),
    ]
}

fn limit_keys(Limits { entries_per_pod, pod_slots, processes }: Limits) -> [Line; 3] {
    [
        (
            "entriesPerPod",
            entries_per_pod.to_string(),
            "addresses that a pod may be allowed at one time",
        ),
        (
            "podSlots",
            pod_slots.to_string(),
            "one more than the pods enforced at one time; at most 256",
        ),
        (
            "processes",
            processes.to_string(),
            "of all pods that are followed at one time, at most 65536; one pod may have a quarter",
        ),
    ]
}

fn require_keys(Require { lsm, veth }: Require) -> [Line; 2] {
    [
        (
            "lsm",
            lsm.to_string(),
            "without the hooks of security modules no pod is enforced, their barriers never pass",
        ),
        (
            "veth",
            veth.to_string(),
            "a pod whose veth cannot be guarded is not enforced, its barrier never passes",
        ),
    ]
}

fn gitlab_keys(Gitlab { trust_annotations, trust_labels }: Gitlab) -> [Line; 2] {
    [
        (
            "trustAnnotations",
            trust_annotations.to_string(),
            "true only where pod_annotations_overwrite_allowed is empty in every runner's config.toml",
        ),
        (
            "trustLabels",
            trust_labels.to_string(),
            "true only where pod_labels_overwrite_allowed is empty, and no pod_labels are made of variables",
        ),
    ]
}

fn kubernetes_keys(Kubernetes { enabled, kubeconfig }: &Kubernetes) -> [Line; 2] {
    [
        (
            "enabled",
            enabled.as_str().to_owned(),
            "ask the API server who made a pod; auto: where there is a service account or a kubeconfig",
        ),
        (
            "kubeconfig",
            path_or(kubeconfig.as_deref(), "null"),
            "how to reach it; null: as a pod of the cluster",
        ),
    ]
}

fn event_keys(events: &Events) -> [Line; 5] {
    let Events { stdout, file, file_mebibytes, file_keep, otlp } = events;
    [
        ("stdout", stdout.to_string(), "records, one JSON object a line"),
        (
            "file",
            path_or(file.as_deref(), "null"),
            "a file that records are appended to; null: none",
        ),
        (
            "fileMebibytes",
            file_mebibytes.to_string(),
            "the size in MiB at which the file is replaced and becomes FILE.1",
        ),
        ("fileKeep", file_keep.to_string(), "how many replaced files are kept"),
        (
            "otlp",
            or(otlp.as_deref(), "null"),
            "an OpenTelemetry collector, http(s)://HOST:PORT, over gRPC; null: none",
        ),
    ]
}

fn job_page_keys(JobPage { help }: &JobPage) -> [Line; 1] {
    [(
        "help",
        or(help.as_deref(), "null"),
        "how to ask for more, said to refused jobs by http://weir.internal/; null: nothing",
    )]
}

fn log_keys(Log { format }: Log) -> [Line; 1] {
    [(
        "format",
        format.as_str().to_owned(),
        "text or json, on standard error; the level is WEIR_LOG's",
    )]
}

fn section(name: &str, keys: &[Line]) -> String {
    let mut text = format!("{name}:\n");
    for (name, value, comment) in keys {
        // Writing to a String cannot fail.
        let _infallible = text.write_str(&key(&format!("  {name}"), value, comment));
    }
    text
}

fn key(name: &str, value: &str, comment: &str) -> String {
    let line = format!("{name}: {value}");
    format!("{line:<42}  # {comment}\n")
}

fn path_or(path: Option<&Path>, word: &str) -> String {
    or(path.map(Path::to_string_lossy).as_deref(), word)
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
