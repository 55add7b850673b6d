//! What a lab server answers: records by name, settable while it runs, and hostile answers by hand.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::svcb::{Alpn, IpHint, SVCB, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HTTPS, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::lab::addresses;

/// The name by which the lab's own resolver is found ready: no test's, so that none meets it cached.
pub const READY: &str = "ready.example.org";
/// Longest CNAME chain that is followed within the zone.
const MAX_CHAIN: usize = 16;
/// TTL of the example zone, seconds: longer than any test.
const LONG: u32 = 300;

/// The records of one name, with one TTL.
#[derive(Clone, Debug, Default)]
pub struct Records {
    ttl: u32,
    data: Vec<RData>,
}

impl Records {
    /// No record yet; `ttl` in seconds.
    #[must_use]
    pub const fn ttl(ttl: u32) -> Self {
        Self { ttl, data: Vec::new() }
    }

    /// Adds an A or AAAA record.
    #[must_use]
    pub fn ip(mut self, address: impl Into<IpAddr>) -> Self {
        self.data.push(match address.into() {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        });
        self
    }

    /// Adds the A and AAAA records of a host.
    #[must_use]
    pub fn pair(self, pair: addresses::Pair) -> Self {
        self.ip(pair.v4).ip(pair.v6)
    }

    /// Adds a CNAME record.
    pub fn cname(mut self, target: &str) -> Result<Self> {
        self.data.push(RData::CNAME(CNAME(absolute(target)?)));
        Ok(self)
    }

    /// Adds a TXT record.
    #[must_use]
    pub fn txt(mut self, text: &str) -> Self {
        self.data.push(RData::TXT(TXT::new(vec![text.to_owned()])));
        self
    }

    /// Adds an HTTPS record (RFC 9460) with address hints.
    #[must_use]
    pub fn https(mut self, hints: addresses::Pair) -> Self {
        let parameters = vec![
            (SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(vec!["h2".to_owned()]))),
            (SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(vec![A(hints.v4)]))),
            (SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(IpHint(vec![AAAA(hints.v6)]))),
        ];
        self.data.push(RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), parameters))));
        self
    }
}

type Handler = Arc<dyn Fn(&Message) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Clone)]
enum Entry {
    Records(Records),
    /// Builds the whole answer; none means silence.
    Custom(Handler),
}

/// A shared, mutable set of names; clones see each other's changes.
#[derive(Clone, Default)]
pub struct Zone {
    entries: Arc<Mutex<HashMap<Name, Entry>>>,
}

impl fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_set().entries(entries.keys()).finish()
    }
}

impl Zone {
    /// The names that every test may count on:
    ///
    /// | name | leads to |
    /// | --- | --- |
    /// | `files`, `api`, `git`, `mirror` under `example.com` | the HTTPS servers, one address each |
    /// | `www.example.com` | CNAME to `edge.example.net`, an HTTPS server |
    /// | `collector.example.net`, `*` tests may add | the attacker |
    pub fn example() -> Result<Self> {
        let zone = Self::default();
        let [files, api, git, mirror] = addresses::WEB;
        zone.set("files.example.com", Records::ttl(LONG).pair(files).https(files).txt("lab"))?;
        zone.set("api.example.com", Records::ttl(LONG).pair(api))?;
        zone.set("git.example.com", Records::ttl(LONG).pair(git))?;
        zone.set("mirror.example.com", Records::ttl(LONG).pair(mirror))?;
        zone.set("www.example.com", Records::ttl(LONG).cname("edge.example.net")?)?;
        zone.set("edge.example.net", Records::ttl(LONG).pair(api))?;
        zone.set(READY, Records::ttl(LONG).pair(addresses::AUTHORITY))?;
        zone.set("collector.example.net", Records::ttl(LONG).pair(addresses::ATTACKER))?;
        Ok(zone)
    }

    /// Replaces whatever `name` had. `*.example.com` stands for every name without its own records.
    pub fn set(&self, name: &str, records: Records) -> Result<()> {
        self.put(name, Entry::Records(records))
    }

    /// Lets `handler` build the answers for `name` by hand, lies included; none is silence.
    pub fn custom(
        &self,
        name: &str,
        handler: impl Fn(&Message) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.put(name, Entry::Custom(Arc::new(handler)))
    }

    /// Forgets `name`: NXDOMAIN from now on.
    pub fn remove(&self, name: &str) -> Result<()> {
        let name = absolute(name)?;
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        Ok(())
    }

    fn put(&self, name: &str, entry: Entry) -> Result<()> {
        let name = absolute(name)?;
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(name, entry);
        Ok(())
    }

    fn entry(&self, name: &Name) -> Option<Entry> {
        let name = name.to_lowercase();
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // A wildcard covers what has no entry of its own (RFC 1034 §4.3.3), one label deep here.
        let wildcard = || Name::from_ascii("*").ok()?.append_domain(&name.base_name()).ok();
        entries.get(&name).or_else(|| entries.get(&wildcard()?)).cloned()
    }

    pub(super) fn answer(&self, request: &Message) -> Option<Vec<u8>> {
        let id = request.metadata.id;
        let Some(query) = request.queries.first() else {
            return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
        };
        if let Some(Entry::Custom(handler)) = self.entry(query.name()) {
            return handler(request);
        }
        self.plain(request, query).to_vec().ok()
    }

    fn plain(&self, request: &Message, query: &Query) -> Message {
        let mut reply = Message::response(request.metadata.id, OpCode::Query);
        reply.metadata.authoritative = true;
        reply.metadata.recursion_desired = request.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_query(query.clone());
        if query.name().is_root() {
            if query.query_type() == RecordType::NS {
                reply.add_answer(root_server());
            }
            return reply;
        }
        let mut name = query.name().clone();
        for _ in 0..MAX_CHAIN {
            let Some(Entry::Records(records)) = self.entry(&name) else { break };
            let wanted = |data: &RData| data.record_type() == query.query_type();
            let alias = records.data.iter().find_map(|data| match data {
                RData::CNAME(CNAME(target)) if !wanted(data) => Some(target.clone()),
                _ => None,
            });
            let follow = alias.is_some();
            for data in records.data {
                if wanted(&data) || follow && matches!(data, RData::CNAME(_)) {
                    reply.add_answer(Record::from_rdata(name.clone(), records.ttl, data));
                }
            }
            let Some(target) = alias else { break };
            name = target;
        }
        if reply.answers.is_empty() {
            if self.entry(query.name()).is_none() && !self.has_below(query.name()) {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            reply.add_authority(start_of_authority());
        }
        reply
    }

    /// Whether a name below `name` exists, so that `name` itself is no NXDOMAIN (RFC 8020).
    fn has_below(&self, name: &Name) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.keys().any(|entry| name.zone_of(entry))
    }
}

/// A query for the A record of `name`, with recursion desired.
pub(crate) fn question(name: &str) -> Result<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(absolute(name)?, RecordType::A));
    Ok(message.to_vec()?)
}

fn absolute(name: &str) -> Result<Name> {
    let mut name = Name::from_str(name)?.to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

/// Negative answers live for no time, so that a name set later is seen at once.
fn start_of_authority() -> Record {
    let soa = SOA::new(Name::root(), Name::root(), 1, 3600, 600, 86_400, 0);
    Record::from_rdata(Name::root(), 0, RData::SOA(soa))
}

fn root_server() -> Record {
    Record::from_rdata(Name::root(), LONG, RData::NS(NS(Name::root())))
}
