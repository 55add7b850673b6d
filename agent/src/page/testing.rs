//! Reports for tests.

use weir_ebpf::reason::Reason;

use super::report::{ProfileInfo, Program, Refusal, Report, SCHEMA_VERSION};
use crate::{
    events::record::{Destination, PodInfo, RecordReason, RecordVerdict},
    policy::Mode,
};

/// A report of nothing.
pub(crate) fn nothing() -> Report {
    Report {
        schema: SCHEMA_VERSION,
        pod: Some(PodInfo {
            namespace: "ci".to_owned(),
            name: "runner-1".to_owned(),
            uid: "u-1".to_owned(),
            labels: std::collections::BTreeMap::new(),
            owner: None,
        }),
        profile: ProfileInfo {
            name: "build/node-22".to_owned(),
            mode: Mode::Block,
            bundle: "sha256:00".to_owned(),
        },
        refused: 0,
        audited: 0,
        refusals: Vec::new(),
        omitted: 0,
        suggestion: None,
        help: None,
    }
}

/// A refused question for `host`.
pub(crate) fn question(host: &str, comm: &str) -> Refusal {
    Refusal {
        verdict: RecordVerdict::Block,
        reason: RecordReason(Reason::DomainNotInAllowlist),
        profile: "build/node-22".to_owned(),
        rule_id: "default-deny".to_owned(),
        destination: Destination {
            host: Some(host.to_owned()),
            other_hosts: Vec::new(),
            ip: None,
            port: None,
            proto: "dns".to_owned(),
        },
        count: 4,
        first: "2026-11-22T09:02:11.412Z".to_owned(),
        last: "2026-11-22T09:02:12.000Z".to_owned(),
        process: Some(Program { comm: comm.to_owned(), binary: Some("/usr/bin/node".to_owned()) }),
        processes: 1,
        container: Some("build".to_owned()),
    }
}
