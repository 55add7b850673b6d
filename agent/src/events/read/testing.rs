//! Records for tests.

use serde_json::{Value, json};

use super::{Entry, PassedOver, Reader};
use crate::events::record::Record;

/// A record as the agent writes them.
pub(crate) fn value() -> Value {
    json!({
        "schema": 1, "kind": "violation", "ts": "2026-11-22T09:02:11.412Z", "verdict": "block",
        "reason": "domain_not_in_allowlist", "node": "ci-7",
        "policy": {
            "scope": "namespace", "profile": "build/node-22", "rule_id": "default-deny",
            "bundle": "sha256:9f2c",
        },
        "process": {
            "comm": "node", "binary": "/usr/local/bin/node", "pid": 7821, "ancestry": ["sh", "node"],
        },
        "attribution": "cgroup",
        "destination": {
            "host": "collector.example.net", "ip": "203.0.113.73", "port": 443, "proto": "tcp",
        },
        "count": 1, "bytes_up": 0, "bytes_down": 0,
        "pod": { "namespace": "ci", "name": "runner-x1", "uid": "u-1" },
        "container": "build",
        "github": null,
        "gitlab": {
            "project": "group/app", "project_id": 42, "pipeline_id": null, "job_id": 388_420,
            "job_name": "install", "ref": "main",
            "job_url": "https://gitlab.example.com/group/app/-/jobs/388420",
            "untrusted": ["project", "job_id", "job_name", "ref", "job_url"],
        },
    })
}

/// The same, read.
pub(crate) fn record() -> Record {
    serde_json::from_value(value()).unwrap()
}

/// Everything that is in these bytes, as if they were the file `events.jsonl`.
pub(crate) fn read_bytes(bytes: &[u8]) -> (Vec<Entry>, PassedOver) {
    let mut reader = Reader::default();
    let mut entries = Vec::new();
    reader.read("events.jsonl", bytes, &mut |entry| entries.push(entry)).unwrap();
    (entries, reader.passed_over)
}
