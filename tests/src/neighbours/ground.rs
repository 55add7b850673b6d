//! What every case of neighbours begins with: the names, the two profiles, and the floods of a loud pod.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};

use super::{Flood, LOUD, Neighbours, Shell, spec};
use crate::dns::Records;
use crate::lab::{Lab, addresses};
use crate::node::Pod;
use crate::profile::Profile;
use crate::world::World;

/// Names that a loud pod may ask below its wildcard.
pub const BUDGET: usize = 2000;
/// Allow entries that a pod may have.
pub const ENTRIES: u64 = 1024;
/// Destinations that a quiet pod tries in vain: datagram and connect, over both families, each.
pub const TRIED: usize = 50;
/// Where connections are reset as soon as they are open.
pub const RESET_PORT: u16 = 8081;

/// The name server that pods ask.
#[must_use]
pub fn resolver() -> String {
    addresses::RESOLVER.v4.to_string()
}

/// May ask a few names of its own and reach them at port 80.
fn quiet() -> Profile {
    Profile::deny_all().domains_at(&["files.example.com", "*.quiet.example.com"], &["80"])
}

/// May ask many names, of many addresses, and connect to them.
fn loud() -> Profile {
    Profile::deny_all()
        .domains_at(&["*.pool.example.com", "*.many.example.com"], &["80"])
        .domains_at(&["api.example.com"], &["80", &RESET_PORT.to_string()])
        .spec(&format!("  dns: {{ namesPerWildcard: {BUDGET} }}"))
}

/// The names that the profiles are about.
fn names(lab: &Lab) -> Result<()> {
    lab.web.listen_and_reset(RESET_PORT)?;
    lab.zone().set("*.quiet.example.com", Records::ttl(300).pair(addresses::WEB[0]))?;
    lab.zone().set("*.pool.example.com", Records::ttl(300).pair(addresses::WEB[1]))?;
    let last = AtomicU64::new(0);
    lab.zone().custom("*.many.example.com", move |request| many(request, &last))
}

/// As many addresses as an answer may bring, and never one twice.
fn many(request: &Message, last: &AtomicU64) -> Option<Vec<u8>> {
    let query = request.queries.first()?;
    let mut reply = Message::response(request.metadata.id, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.add_query(query.clone());
    for _ in 0..64 {
        let number = last.fetch_add(1, Ordering::Relaxed);
        let data = match query.query_type() {
            RecordType::A => {
                let base = u32::from(Ipv4Addr::new(198, 52, 0, 0));
                RData::A(A(Ipv4Addr::from(base + u32::try_from(number).ok()?)))
            }
            RecordType::AAAA => {
                let base = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0));
                RData::AAAA(AAAA(Ipv6Addr::from(base + u128::from(number))))
            }
            _ => break,
        };
        reply.add_answer(Record::from_rdata(query.name().clone(), 300, data));
    }
    reply.to_vec().ok()
}

impl Neighbours {
    /// A node with an agent, and the names of the lab.
    pub fn begin() -> Result<Self> {
        Self::begin_with(|_world| Ok(()))
    }

    /// The same; `prepare` comes before the agent.
    pub fn begin_with(prepare: impl FnOnce(&World) -> Result<()>) -> Result<Self> {
        let config = format!("limits: {{ entriesPerPod: {ENTRIES} }}");
        Self::new(&quiet(), &loud(), &config, |world| {
            names(&world.lab)?;
            prepare(world)
        })
    }

    /// The floods of everything at once.
    pub fn flood_all(&self, pod: &Pod) -> Result<Vec<Flood>> {
        let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
        let (api, port) = (addresses::WEB[1].v4.to_string(), RESET_PORT.to_string());
        let resolver = resolver();
        let floods = vec![
            self.flood(pod, "names", 1, &[&resolver, "pool.example.com"])?,
            self.flood(pod, "streams", 1, &[&resolver, "evil.example.net"])?,
            self.flood(pod, "events", 2, &[&v4, &v6, "10000", "8", "10000000"])?,
            self.flood(pod, "entries", 1, &[&resolver, "many.example.com", "500"])?,
            self.flood(pod, "connects", 1, &[&api, &port])?,
        ];
        self.until(pod, "flooding", |told| told.refused > 20_000)?;
        Ok(floods)
    }

    /// Tries what is refused, and waits until every first sight is on record.
    pub fn all_is_told(&self, pod: &Pod, shell: &Shell, first_port: usize) -> Result<()> {
        let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
        let (port, count) = (first_port.to_string(), TRIED.to_string());
        let before = self.violations(pod)?.len();
        let tried = shell.deluge("events", 1, &[&v4, &v6, &port, "1", &count])?;
        let wanted = TRIED * 4;
        ensure!(tried.count("refused") == u64::try_from(wanted)?, "{tried}");
        let found = self.violations_come(pod, before + wanted)?;
        let first_port = u64::try_from(first_port)?;
        let tried_ports = first_port..first_port + u64::try_from(TRIED)?;
        let distinct: BTreeSet<(&str, u64, &str)> = found
            .iter()
            .map(|event| (event.ip(), event.port(), event.proto()))
            .filter(|(_, port, _)| tried_ports.contains(port))
            .collect();
        ensure!(distinct.len() == wanted, "{} of {wanted} destinations", distinct.len());
        Ok(())
    }

    /// Loud sandboxes, several at a time.
    pub fn sandboxes(&self, count: usize) -> Result<Vec<Pod>> {
        std::thread::scope(|scope| {
            let node = &self.world.node;
            let threads: Vec<_> =
                (0..count).map(|_| scope.spawn(|| node.run_pod(spec(LOUD)))).collect();
            let started = threads.into_iter().map(|thread| {
                thread.join().map_err(|_panic| anyhow::anyhow!("a pod's thread panicked"))?
            });
            started.collect()
        })
    }
}
