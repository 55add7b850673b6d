//! The resolver against unbound and dnsmasq: CPU time for a cached name, latency added to one that is
//! not.
//!
//! All servers stand on the loopback device of one host and ask the same upstream.

mod cpu;
mod latency;
mod servers;

use anyhow::Result;

use self::servers::Servers;
use super::{Ground, Row, Target};

/// Two rows for CPU time, two for latency.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let servers = Servers::start(ground)?;
    let cpu = cpu::measure(&servers)?;
    let cached = |against, target| Row {
        name: "resolver, cached: server CPU per query".to_owned(),
        unit: "us",
        value: cpu.weir,
        against: Some(against),
        target,
    };
    let (direct, added) = latency::measure(&servers)?;
    let uncached = |percentile: &str, added, direct, most| Row {
        name: format!("resolver, uncached: added latency, {percentile}"),
        unit: "us",
        value: added,
        against: Some(("asking directly", direct)),
        target: Target::AtMost(most),
    };
    Ok(vec![
        cached(("dnsmasq", cpu.dnsmasq), Target::RatioAtMost(1.0)),
        cached(("unbound", cpu.unbound), Target::RatioAtMost(1.1)),
        uncached("p50", added.p50, direct.p50, 150.0),
        uncached("p99", added.p99, direct.p99, 1000.0),
    ])
}
