//! Nanoseconds per packet of the programs of both layers, by `BPF_PROG_TEST_RUN`, and the memory of one
//! pod's tables.
//!
//! The same packet again and again: caches are warm, as for a bulk transfer.

use std::time::Duration;

use anyhow::Result;

use super::{Ground, Rounds, Row, Target, example};
use crate::exec;

/// Odd: the median is one of them. Each takes every case in turn.
const ROUNDS: &str = "9";
const LIMIT: Duration = Duration::from_secs(120);

/// Against a program that only lets pass.
const CASES: [(&str, &str, Target); 6] = [
    ("admitted_v4", "admitted socket, IPv4", Target::RatioAtMost(2.5)),
    ("admitted_v6", "admitted socket, IPv6", Target::RatioAtMost(2.5)),
    ("allowed_v4", "allow-map hit, IPv4", Target::RatioAtMost(5.0)),
    ("allowed_v6", "allow-map hit, IPv6", Target::RatioAtMost(5.0)),
    ("network", "CIDR hit", Target::Shown),
    ("refused", "deny", Target::Shown),
];

/// The second layer against the first one's verdict on the same packet.
const WIRE_CASES: [(&str, &str, &str, Target); 3] = [
    ("wire_admitted_v4", "admitted_v4", "admitted socket", Target::RatioAtMost(1.5)),
    ("wire_allowed_v4", "allowed_v4", "allow-map hit", Target::RatioAtMost(1.5)),
    ("wire_stranger_v4", "allowed_v4", "known flow without a socket", Target::Shown),
];

/// What a measurement on a quiet machine varies by; more would be growth with the number of entries.
const FLAT: f64 = 1.1;

/// One row per case, and one for a large allow map against a small one.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let bench = example("packet_bench")?;
    let mut command = ground.lab.client.host().enter(&bench);
    command.args(["eth0", ROUNDS]);
    let output = exec::run(command, LIMIT)?.expect_code(0)?;
    let rounds = Rounds::read(&output)?;
    let of = |case: &str| rounds.median(case);
    let row = |name: String, value: f64, against, target| Row {
        name,
        unit: "ns",
        value,
        against: Some(against),
        target,
    };
    let plain = of("plain")?;
    let mut rows = Vec::new();
    for (case, name, target) in CASES {
        rows.push(row(format!("packet: {name}"), of(case)?, ("return 1", plain), target));
    }
    rows.push(row(
        "packet: allow-map hit of 65,536 entries".to_owned(),
        of("allowed_of_many")?,
        ("of 10", of("allowed_v4")?),
        Target::RatioAtMost(FLAT),
    ));
    for (case, first, name, target) in WIRE_CASES {
        let name = format!("veth layer: {name}");
        rows.push(row(name, of(case)?, ("cgroup layer", of(first)?), target));
    }
    rows.push(Row {
        name: "kernel memory of a pod with 4,096 entries".to_owned(),
        unit: "KiB",
        value: of("pod_bytes")? / 1024.0,
        against: None,
        target: Target::AtMost(512.0),
    });
    Ok(rows)
}
