//! What upstream was found to say about one question, ready to be written into any answer.
//!
//! Records are kept in wire form behind a question whose length is that of the key, so that a cached
//! answer costs one copy and one store per lifetime. Their order: the CNAME chain, then the records
//! of the type asked. Owner names are pointers to the question or to the CNAME data that names them,
//! never into a record that an answer may leave out.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::guard::{self, Exposure};
use super::reply::ExtendedError;
use super::wire::{CLASS_IN, HEADER_LEN, QUESTION_POINTER, rcode, rtype};

#[cfg(test)]
mod tests;

/// Longest answer section: what a message over TCP holds beside the longest question and OPT.
const MAX_BODY: usize = 64_000;

/// One answer of upstream.
#[derive(Debug)]
pub(super) struct Entry {
    rcode: u16,
    /// Set if there is no answer: why.
    pub(super) failure: Option<ExtendedError>,
    body: Vec<u8>,
    /// Where in `body` each record starts and where its lifetime stands.
    records: Vec<RecordAt>,
    addresses: Vec<IpAddr>,
    exposure: Exposure,
    stored: Instant,
    lifetime: Duration,
}

#[derive(Clone, Copy, Debug)]
struct RecordAt {
    start: u16,
    ttl: u16,
}

impl Entry {
    /// No answer.
    pub(super) fn failed(failure: ExtendedError, now: Instant, lifetime: Duration) -> Self {
        Self {
            rcode: rcode::SERVER_FAILURE,
            failure: Some(failure),
            body: Vec::new(),
            records: Vec::new(),
            addresses: Vec::new(),
            exposure: Exposure::Public,
            stored: now,
            lifetime,
        }
    }

    pub(super) fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Every address in the answer, in its order.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The worst exposure among the addresses.
    pub(super) fn exposure(&self) -> Exposure {
        self.exposure
    }

    /// Whether upstream said that the name exists: it has records, or at least other ones.
    pub(super) fn name_exists(&self) -> bool {
        self.rcode == rcode::NO_ERROR
    }

    /// When the answer ends for a profile that believes none longer than `max_ttl`.
    pub(super) fn expires(&self, max_ttl: Duration) -> Instant {
        self.stored + self.lifetime.min(max_ttl)
    }

    /// Bytes that the entry occupies, roughly.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.body.len()
            + self.records.len() * size_of::<RecordAt>()
            + self.addresses.len() * size_of::<IpAddr>()
            + self.failure.as_ref().map_or(0, |failure| failure.text.len())
    }

    /// Appends the records to an answer that ends behind its question, and returns their number.
    /// Address records whose index `keep` does not want are left out.
    pub(super) fn write(&self, out: &mut Vec<u8>, ttl_s: u32, keep: impl Fn(usize) -> bool) -> u16 {
        let chain = self.records.len() - self.addresses.len();
        let mut count = 0;
        for (index, record) in self.records.iter().enumerate() {
            if index >= chain && !self.addresses.is_empty() && !keep(index - chain) {
                continue;
            }
            let end = self.records.get(index + 1).map_or(self.body.len(), |next| next.start.into());
            let base = out.len();
            out.extend_from_slice(self.body.get(record.start.into()..end).unwrap_or_default());
            let ttl = base + usize::from(record.ttl - record.start);
            if let Some(field) = out.get_mut(ttl..ttl + 4) {
                field.copy_from_slice(&ttl_s.to_be_bytes());
            }
            count += 1;
        }
        count
    }
}

/// Builds an [`Entry`] record by record.
pub(super) struct EntryBuilder {
    entry: Entry,
    /// Length of header and question, which the body stands behind.
    offset: usize,
    /// Pointer to the name that the next record belongs to.
    owner: u16,
}

/// The answer section is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BodyFull;

impl EntryBuilder {
    /// An entry for a question whose name has `name_len` bytes in wire form.
    pub(super) fn new(name_len: usize, rcode: u16, now: Instant) -> Self {
        let mut entry = Entry::failed(ExtendedError::new(0, ""), now, Duration::ZERO);
        entry.rcode = rcode;
        entry.failure = None;
        Self { entry, offset: HEADER_LEN + name_len + 4, owner: QUESTION_POINTER }
    }

    /// Adds a CNAME record; the records that follow belong to its target (wire form, no pointers).
    pub(super) fn cname(&mut self, target: &[u8]) -> Result<(), BodyFull> {
        self.record(rtype::CNAME, target)?;
        let at = self.offset + self.entry.body.len() - target.len();
        // Pointers reach 14 bits far (RFC 1035 §4.1.4); a chain of 16 names stays below.
        let at = u16::try_from(at).ok().filter(|&at| at < 0x4000).ok_or(BodyFull)?;
        self.owner = 0xc000 | at;
        Ok(())
    }

    /// Adds an address record for the name at the end of the chain. Addresses come last and alone.
    pub(super) fn address(&mut self, address: IpAddr) -> Result<(), BodyFull> {
        match address {
            IpAddr::V4(v4) => self.record(rtype::A, &v4.octets())?,
            IpAddr::V6(v6) => self.record(rtype::AAAA, &v6.octets())?,
        }
        self.entry.addresses.push(address);
        self.entry.exposure = self.entry.exposure.max(guard::exposure(address));
        Ok(())
    }

    /// Adds a record of any other type for the name at the end of the chain; names in `data` are
    /// written out in full.
    pub(super) fn record(&mut self, rtype: u16, data: &[u8]) -> Result<(), BodyFull> {
        let body = &mut self.entry.body;
        let start = u16::try_from(body.len()).ok().ok_or(BodyFull)?;
        let len = u16::try_from(data.len()).ok().ok_or(BodyFull)?;
        if body.len() + 12 + data.len() > MAX_BODY {
            return Err(BodyFull);
        }
        body.extend_from_slice(&self.owner.to_be_bytes());
        body.extend_from_slice(&rtype.to_be_bytes());
        body.extend_from_slice(&CLASS_IN.to_be_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(data);
        self.entry.records.push(RecordAt { start, ttl: start.saturating_add(6) });
        Ok(())
    }

    /// The entry, which is to be believed for `lifetime`.
    pub(super) fn finish(mut self, lifetime: Duration) -> Entry {
        self.entry.lifetime = lifetime;
        self.entry.body.shrink_to_fit();
        self.entry.records.shrink_to_fit();
        self.entry.addresses.shrink_to_fit();
        self.entry
    }
}
