//! Judges what upstream answered, and keeps of it only what answers the question.
//!
//! Upstream may be hostile, or may hand on what a hostile server said. Kept are the CNAME chain that
//! starts at the question's name and the records of the asked type at its end. Everything else is
//! dropped: other names, other types, authority, additionals, and every flag.

use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::svcb::{SVCB, SvcParamKey, SvcParamValue};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder, DecodeError};

use super::entry::{Entry, EntryBuilder};
use super::wire::{CLASS_IN, rcode};

#[cfg(test)]
mod tests;

/// Longest CNAME chain that is followed.
const MAX_CHAIN: usize = 16;
/// Addresses kept of one answer; allow entries are bounded, and no client tries more.
const MAX_ADDRESSES: usize = 64;

/// Why an answer of upstream is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// Not a DNS message.
    #[error("decoding the answer failed")]
    Malformed(#[from] DecodeError),
    /// The server says that it cannot or will not answer.
    #[error("the server answered {0}")]
    ServerFailure(ResponseCode),
    /// Records were left out: the question is to be asked again over TCP.
    #[error("the answer is truncated")]
    Truncated,
    /// A name has two aliases, or its aliases form a loop or do not end.
    #[error("the answer's chain of aliases is not one")]
    BrokenChain,
    /// The name does not exist, and has records.
    #[error("the answer denies a name that it has records of")]
    Contradiction,
    /// More records than a message holds.
    #[error("the answer holds more than a message can carry")]
    TooLarge,
}

/// Limits on how long an answer is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) max_ttl: Duration,
    pub(super) max_negative_ttl: Duration,
}

/// Checks `message` as the answer to the question `name` (wire form) and `qtype`.
///
/// The caller has compared id and question (see [`super::upstream`]).
pub(super) fn check(
    message: &[u8],
    name: &[u8],
    qtype: u16,
    limits: Lifetimes,
    now: Instant,
) -> Result<Entry, AnswerError> {
    let message = Message::from_vec(message)?;
    if message.metadata.truncation {
        return Err(AnswerError::Truncated);
    }
    let rcode = match message.metadata.response_code {
        ResponseCode::NoError => rcode::NO_ERROR,
        ResponseCode::NXDomain => rcode::NAME_ERROR,
        other => return Err(AnswerError::ServerFailure(other)),
    };
    let mut builder = EntryBuilder::new(name.len(), rcode, now);
    let chain = Chain::follow(&message.answers, name, qtype)?;
    let mut lifetime = seconds(u32::MAX >> 1);
    for alias in &chain.aliases {
        lifetime = lifetime.min(believed(alias.record.ttl));
        builder.cname(&alias.target).map_err(|_full| AnswerError::TooLarge)?;
    }
    let mut found = 0;
    let mut addresses = Vec::new();
    for record in records_of(&message.answers, &chain.end, qtype) {
        match &record.data {
            RData::A(_) | RData::AAAA(_) => {
                let Some(address) = record.data.ip_addr() else { continue };
                if addresses.len() == MAX_ADDRESSES || addresses.contains(&address) {
                    continue;
                }
                addresses.push(address);
                builder.address(address).map_err(|_full| AnswerError::TooLarge)?;
            }
            other => {
                let Some(data) = data_to_tell(other) else { continue };
                builder.record(qtype, &data).map_err(|_full| AnswerError::TooLarge)?;
            }
        }
        lifetime = lifetime.min(believed(record.ttl));
        found += 1;
    }
    if found > 0 {
        if rcode == rcode::NAME_ERROR {
            return Err(AnswerError::Contradiction);
        }
        return Ok(builder.finish(lifetime.min(limits.max_ttl)));
    }
    let negative = negative_ttl(&message.authorities, &chain.end).min(limits.max_negative_ttl);
    Ok(builder.finish(lifetime.min(negative)))
}

/// The aliases between the question's name and the name that its records belong to.
struct Chain<'a> {
    aliases: Vec<Alias<'a>>,
    end: Vec<u8>,
}

struct Alias<'a> {
    record: &'a Record,
    target: Vec<u8>,
}

impl<'a> Chain<'a> {
    fn follow(answers: &'a [Record], name: &[u8], qtype: u16) -> Result<Self, AnswerError> {
        let mut chain = Self { aliases: Vec::new(), end: name.to_vec() };
        while records_of(answers, &chain.end, qtype).next().is_none() {
            let mut aliases = records_of(answers, &chain.end, u16::from(RecordType::CNAME));
            let Some(record) = aliases.next() else { break };
            let RData::CNAME(target) = &record.data else { break };
            let target = wire_name(&target.0);
            // The same record twice is harmless, two targets are not.
            let ambiguous = aliases.any(|other| other.data != record.data);
            drop(aliases);
            let seen = chain.aliases.iter().any(|alias| same_name(&alias.target, &target));
            if ambiguous || seen || same_name(name, &target) || chain.aliases.len() == MAX_CHAIN {
                return Err(AnswerError::BrokenChain);
            }
            chain.end.clone_from(&target);
            chain.aliases.push(Alias { record, target });
        }
        Ok(chain)
    }
}

/// The records of one name, type and class IN.
fn records_of<'a>(
    records: &'a [Record],
    name: &[u8],
    rtype: u16,
) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| {
        record.dns_class == DNSClass::from(CLASS_IN)
            && u16::from(record.record_type()) == rtype
            && same_name(&wire_name(&record.name), name)
    })
}

/// A record's data as clients are told it, names in full; `None` leaves the record out.
fn data_to_tell(data: &RData) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    // Pointers would be relative to a message that this data never was in.
    encoder.set_canonical_form(true);
    let written = match data {
        RData::SVCB(service) => without_addresses(service)?.emit(&mut encoder),
        RData::HTTPS(service) => without_addresses(&service.0)?.emit(&mut encoder),
        other => other.emit(&mut encoder),
    };
    written.ok().map(|()| bytes)
}

/// A service binding (RFC 9460) without what would lead around the resolver: address hints, which
/// no allow entry stands behind, and Encrypted Client Hello, which hides the name from whoever has
/// to name it. Only parameters known to be harmless stay. A record that makes another one mandatory
/// is left out, as a client that did not know the parameter would do (§8).
fn without_addresses(service: &SVCB) -> Option<SVCB> {
    let harmless = |key: SvcParamKey| {
        matches!(
            key,
            SvcParamKey::Mandatory
                | SvcParamKey::Alpn
                | SvcParamKey::NoDefaultAlpn
                | SvcParamKey::Port
        )
    };
    let mut params = Vec::new();
    for (key, value) in &service.svc_params {
        if let SvcParamValue::Mandatory(keys) = value
            && !keys.0.iter().all(|&key| harmless(key))
        {
            return None;
        }
        if harmless(*key) {
            params.push((*key, value.clone()));
        }
    }
    Some(SVCB::new(service.svc_priority, service.target_name.clone(), params))
}

/// How long an absence is believed (RFC 2308 §5): the lesser of the zone's SOA lifetime and its
/// MINIMUM, and not at all without an SOA of a zone that the name is in.
fn negative_ttl(authorities: &[Record], name: &[u8]) -> Duration {
    let lifetimes = authorities.iter().filter_map(|record| match &record.data {
        RData::SOA(soa) if is_below(name, &wire_name(&record.name)) => {
            Some(believed(record.ttl).min(believed(soa.minimum)))
        }
        _ => None,
    });
    lifetimes.min().unwrap_or_default()
}

/// A lifetime in seconds; with the top bit set it counts as zero (RFC 2181 §8).
fn believed(ttl_s: u32) -> Duration {
    if ttl_s > u32::MAX >> 1 { Duration::ZERO } else { seconds(ttl_s) }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Length bytes are below `A`, so whole names can be compared without regard to case.
fn same_name(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Whether `name` is `zone` or below it, both in wire form.
fn is_below(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if same_name(rest, zone) {
            return true;
        }
        let Some((&len, tail)) = rest.split_first() else { return false };
        let Some(parent) = tail.get(usize::from(len)..) else { return false };
        if len == 0 {
            return false;
        }
        rest = parent;
    }
}

/// A name in wire form without compression.
fn wire_name(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name {
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}
