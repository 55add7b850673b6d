//! Writes what a client gets back: header, its own question, records, and OPT if it sent one.

use super::entry::Entry;
use super::question::{ClientEdns, Request};
use super::wire::{CLASS_IN, HEADER_LEN, QUESTION_POINTER, flag, rcode, rtype};

/// The UDP payload that we take and, whatever a client claims, the most that we send: what passes
/// any path without fragments (DNS flag day 2020, RFC 9715).
pub(super) const UDP_PAYLOAD: u16 = 1232;
/// What every client takes (RFC 1035 §4.2.1).
const MIN_UDP_PAYLOAD: u16 = 512;
/// Longest extra text of an Extended DNS Error, so that it never pushes an answer into truncation.
const MAX_EDE_TEXT: usize = 160;

/// An Extended DNS Error (RFC 8914): a code and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExtendedError {
    pub(super) code: u16,
    pub(super) text: String,
}

impl ExtendedError {
    /// The policy of the operator refuses the name (§4.16).
    pub(super) const BLOCKED: u16 = 15;
    /// The answer was filtered (§4.18).
    pub(super) const FILTERED: u16 = 17;
    /// Nobody upstream could be reached (§4.23).
    pub(super) const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// Sending or receiving failed (§4.24).
    pub(super) const NETWORK_ERROR: u16 = 23;
    /// None of the others (§4.1).
    pub(super) const OTHER: u16 = 0;

    pub(super) fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// The longest answer that a client takes over UDP.
pub(super) fn udp_limit(edns: Option<ClientEdns>) -> usize {
    let claimed = edns.map_or(MIN_UDP_PAYLOAD, |edns| edns.payload);
    usize::from(claimed.clamp(MIN_UDP_PAYLOAD, UDP_PAYLOAD))
}

/// One answer to one request, written into a buffer that is reused.
pub(super) struct Reply<'a> {
    request: &'a Request,
    out: &'a mut Vec<u8>,
    limit: usize,
}

impl<'a> Reply<'a> {
    /// Starts an answer of at most `limit` bytes; `out` is emptied.
    pub(super) fn new(request: &'a Request, limit: usize, out: &'a mut Vec<u8>) -> Self {
        Self { request, out, limit }
    }

    /// An answer without records.
    pub(super) fn empty(mut self, rcode: u16, error: Option<&ExtendedError>) {
        self.head(rcode, 0);
        self.finish(rcode, error);
    }

    /// The records of `entry`, each with the lifetime `ttl_s` in seconds; `keep` says which of its
    /// addresses, by index, are told.
    pub(super) fn records(
        mut self,
        entry: &Entry,
        ttl_s: u32,
        keep: impl Fn(usize) -> bool,
        error: Option<&ExtendedError>,
    ) {
        self.head(entry.rcode(), 0);
        let count = entry.write(self.out, ttl_s, keep);
        self.set_u16(6, count);
        self.finish(entry.rcode(), error);
    }

    /// The minimal answer to ANY (RFC 8482 §4.2): one HINFO record that says so.
    pub(super) fn minimal_any(mut self) {
        const RDATA: &[u8] = b"\x07RFC8482\x00";
        const TTL_S: u32 = 3600;
        self.head(rcode::NO_ERROR, 1);
        self.record_head(rtype::HINFO, TTL_S, RDATA.len());
        self.out.extend_from_slice(RDATA);
        self.finish(rcode::NO_ERROR, None);
    }

    /// One address for the question's own name.
    pub(super) fn address(mut self, octets: &[u8], ttl_s: u32) {
        self.head(rcode::NO_ERROR, 1);
        self.record_head(self.request.qtype, ttl_s, octets.len());
        self.out.extend_from_slice(octets);
        self.finish(rcode::NO_ERROR, None);
    }

    /// One TXT record of these strings, each cut at the 255 bytes that it may have (RFC 1035 §3.3.14), not to
    /// be kept by anybody.
    pub(super) fn text(mut self, strings: &[&[u8]]) {
        let mut rdata = Vec::new();
        for string in strings {
            let length = u8::try_from(string.len()).unwrap_or(u8::MAX);
            rdata.push(length);
            rdata.extend(string.iter().take(usize::from(length)));
        }
        self.head(rcode::NO_ERROR, 1);
        self.record_head(rtype::TXT, 0, rdata.len());
        self.out.extend_from_slice(&rdata);
        self.finish(rcode::NO_ERROR, None);
    }

    fn record_head(&mut self, rtype: u16, ttl_s: u32, len: usize) {
        self.out.extend_from_slice(&QUESTION_POINTER.to_be_bytes());
        self.out.extend_from_slice(&rtype.to_be_bytes());
        self.out.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.out.extend_from_slice(&ttl_s.to_be_bytes());
        self.out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    }

    fn head(&mut self, rcode: u16, answers: u16) {
        let flags = flag::RESPONSE
            | flag::RECURSION_AVAILABLE
            | self.request.echoed_flags
            | (rcode & 0x000f);
        header(self.out, self.request.id, flags, 1, answers);
        self.out.extend_from_slice(self.request.spelt_name());
        self.out.extend_from_slice(&self.request.qtype.to_be_bytes());
        self.out.extend_from_slice(&CLASS_IN.to_be_bytes());
    }

    /// Adds OPT, and takes the records away again if there is no room for both (RFC 2181 §9: a
    /// truncated answer is not used, so none of a set is better than part of it).
    fn finish(&mut self, rcode: u16, error: Option<&ExtendedError>) {
        let question_end = HEADER_LEN + self.request.spelt_name().len() + 4;
        let opt_start = self.out.len();
        self.opt(rcode, error);
        if self.out.len() > self.limit {
            let opt = self.out.split_off(opt_start);
            self.out.truncate(question_end);
            self.out.extend_from_slice(&opt);
            self.set_u16(6, 0);
            if let Some(flags) = self.out.get_mut(2) {
                *flags |= (flag::TRUNCATED >> 8) as u8;
            }
        }
    }

    fn opt(&mut self, rcode: u16, error: Option<&ExtendedError>) {
        if let Some(edns) = self.request.edns {
            opt(self.out, rcode, edns.dnssec_ok, error);
            self.set_u16(10, 1);
        }
    }

    fn set_u16(&mut self, at: usize, value: u16) {
        if let Some(field) = self.out.get_mut(at..at + 2) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// An answer to a message that holds no question to repeat (see [`super::question::Odd`]).
pub(super) fn odd(id: u16, echoed_flags: u16, rcode: u16, out: &mut Vec<u8>) {
    let flags = flag::RESPONSE | flag::RECURSION_AVAILABLE | echoed_flags | (rcode & 0x000f);
    header(out, id, flags, 0, 0);
    if rcode > 0x000f {
        opt(out, rcode, false, None);
        if let Some(additionals) = out.get_mut(10..12) {
            additionals.copy_from_slice(&1_u16.to_be_bytes());
        }
    }
}

fn header(out: &mut Vec<u8>, id: u16, flags: u16, questions: u16, answers: u16) {
    out.clear();
    for word in [id, flags, questions, answers, 0, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

fn opt(out: &mut Vec<u8>, rcode: u16, dnssec_ok: bool, error: Option<&ExtendedError>) {
    const EDE_OPTION: u16 = 15;

    let [extended_rcode, _] = (rcode << 4).to_be_bytes();
    let high_flags = if dnssec_ok { 0x80 } else { 0 };
    out.push(0);
    out.extend_from_slice(&rtype::OPT.to_be_bytes());
    out.extend_from_slice(&UDP_PAYLOAD.to_be_bytes());
    out.extend_from_slice(&[extended_rcode, 0, high_flags, 0]);
    let Some(error) = error else {
        out.extend_from_slice(&0_u16.to_be_bytes());
        return;
    };
    // Cut within a character, the text would not be UTF-8 (§2).
    let end = (0..=MAX_EDE_TEXT.min(error.text.len())).rev();
    let text = end.into_iter().find_map(|end| error.text.get(..end)).unwrap_or_default();
    let len = u16::try_from(2 + text.len()).unwrap_or(2);
    out.extend_from_slice(&(4 + len).to_be_bytes());
    out.extend_from_slice(&EDE_OPTION.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&error.code.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
