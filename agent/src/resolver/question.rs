//! Reads what a client sent: header, one question, at most one OPT record, and nothing else.
//!
//! This is the only parser that bytes from a job meet before the policy has decided, so it is small,
//! allocates nothing, follows no compression pointer and accepts nothing it does not understand.
//! Whatever it takes, only the lower-cased name and the type are ever sent upstream.

use super::wire::{CLASS_IN, HEADER_LEN, MAX_NAME_LEN, Reader, flag, rcode, rtype};

#[cfg(test)]
mod tests;

/// Longest cache key: a name and a type.
const MAX_KEY_LEN: usize = MAX_NAME_LEN + 2;

/// Opcode QUERY, shifted to its place in the flags.
const OPCODE_MASK: u16 = 0x7800;

/// A question that can be decided.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) id: u16,
    /// RD and CD, the two bits of the query that its answer repeats.
    pub(super) echoed_flags: u16,
    pub(super) edns: Option<ClientEdns>,
    pub(super) qtype: u16,
    name_len: usize,
    /// The name as the client spelt it, to be repeated in the answer (some stubs compare the case).
    spelt: [u8; MAX_NAME_LEN],
    /// The name in lower case, then the type: what the cache and upstream know it by.
    key: [u8; MAX_KEY_LEN],
}

/// What the client said of itself in its OPT record (RFC 6891 §6.1.2); its options are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientEdns {
    pub(super) payload: u16,
    pub(super) dnssec_ok: bool,
}

/// Why a message is not answered with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    /// A response, or too short to have a header: answering could feed a loop.
    NoAnswer,
    /// Answered with this code and no question section.
    Answer {
        /// The query's id.
        id: u16,
        /// The query's opcode and RD bits, to be repeated.
        echoed_flags: u16,
        /// The response code, extended ones included.
        rcode: u16,
    },
}

impl Request {
    /// Reads one message.
    pub(super) fn parse(message: &[u8]) -> Result<Self, Odd> {
        let mut reader = Reader::new(message);
        let header = Header::read(&mut reader).ok_or(Odd::NoAnswer)?;
        if header.flags & flag::RESPONSE != 0 {
            return Err(Odd::NoAnswer);
        }
        let odd = |rcode| Odd::Answer {
            id: header.id,
            echoed_flags: header.flags & (OPCODE_MASK | flag::RECURSION_DESIRED),
            rcode,
        };
        if header.flags & OPCODE_MASK != 0 {
            return Err(odd(rcode::NOT_IMPLEMENTED));
        }
        // One question (RFC 9619), and none of the sections that only updates, transfers or
        // answers fill.
        if header.questions != 1 || header.answers != 0 || header.authorities != 0 {
            return Err(odd(rcode::FORMAT_ERROR));
        }
        let mut request = Self {
            id: header.id,
            echoed_flags: header.flags & (flag::RECURSION_DESIRED | flag::CHECKING_DISABLED),
            edns: None,
            qtype: 0,
            name_len: 0,
            spelt: [0; MAX_NAME_LEN],
            key: [0; MAX_KEY_LEN],
        };
        let class = request.read_question(&mut reader).ok_or(odd(rcode::FORMAT_ERROR))?;
        let version = request
            .read_additionals(&mut reader, header.additionals)
            .ok_or(odd(rcode::FORMAT_ERROR))?;
        if version != 0 {
            return Err(odd(rcode::BAD_VERSION));
        }
        if class != CLASS_IN {
            return Err(odd(rcode::REFUSED));
        }
        match request.qtype {
            // OPT is no question.
            0 | rtype::OPT => Err(odd(rcode::FORMAT_ERROR)),
            // TKEY, TSIG, zone transfers and the mailbox types (RFC 6895 §3.1); ANY is answered.
            249..=254 => Err(odd(rcode::REFUSED)),
            _ => Ok(request),
        }
    }

    /// The question's name in wire form, lower case, root label included.
    pub(super) fn name(&self) -> &[u8] {
        self.key.get(..self.name_len).unwrap_or_default()
    }

    /// The question's name as the client spelt it.
    pub(super) fn spelt_name(&self) -> &[u8] {
        self.spelt.get(..self.name_len).unwrap_or_default()
    }

    /// What the cache knows the question by: [`Request::name`] and the type.
    pub(super) fn key(&self) -> &[u8] {
        self.key.get(..self.name_len + 2).unwrap_or_default()
    }

    /// The labels of the lower-cased name, root label excluded.
    pub(super) fn labels(&self) -> Labels<'_> {
        Labels(Reader::new(self.name()))
    }

    /// Reads the question and returns its class.
    fn read_question(&mut self, reader: &mut Reader<'_>) -> Option<u16> {
        let mut at = 0;
        loop {
            let len = reader.u8()?;
            // Compression pointers and the obsolete label types have no place in a question.
            if len > 63 {
                return None;
            }
            let label = reader.take(usize::from(len))?;
            let end = at + 1 + label.len();
            let spelt = self.spelt.get_mut(at..end)?;
            let key = self.key.get_mut(at..end)?;
            for (to, &from) in spelt.iter_mut().zip([len].iter().chain(label)) {
                *to = from;
            }
            // Length bytes are below `A`, so lower-casing leaves them alone.
            for (to, from) in key.iter_mut().zip(spelt) {
                *to = from.to_ascii_lowercase();
            }
            at = end;
            if len == 0 {
                break;
            }
        }
        self.qtype = reader.u16()?;
        self.name_len = at;
        self.key.get_mut(at..at + 2)?.copy_from_slice(&self.qtype.to_be_bytes());
        reader.u16()
    }

    /// Reads the additional section and returns the EDNS version, 0 if there is no OPT record.
    ///
    /// `None` for anything but one OPT record (RFC 6891 §6.1.1 makes a second one an error), or if
    /// bytes are left over.
    fn read_additionals(&mut self, reader: &mut Reader<'_>, count: u16) -> Option<u8> {
        let mut version = 0;
        match count {
            0 => {}
            1 => {
                let record = reader.record()?;
                if record.rtype != rtype::OPT || !record.root_owner {
                    return None;
                }
                let [_extended_rcode, claimed, high, _] = record.ttl.to_be_bytes();
                version = claimed;
                self.edns = Some(ClientEdns { payload: record.class, dnssec_ok: high & 0x80 != 0 });
                let mut options = Reader::new(record.data);
                while !options.is_empty() {
                    let _code = options.u16()?;
                    let len = options.u16()?;
                    options.take(usize::from(len))?;
                }
            }
            _ => return None,
        }
        reader.is_empty().then_some(version)
    }
}

/// The labels of a name in wire form without compression.
pub(super) struct Labels<'a>(Reader<'a>);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = self.0.u8()?;
        if len == 0 { None } else { self.0.take(usize::from(len)) }
    }
}

/// A name in presentation form without the final dot: `.` and `\` inside a label and all that is
/// not printable ASCII escaped (RFC 4343 §2.1). The root is `.`.
pub(super) fn presentation<'a>(labels: impl Iterator<Item = &'a [u8]>) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for label in labels {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                0x21..=0x7e => text.push(char::from(byte)),
                // Writing to a string does not fail.
                _ => drop(write!(text, "\\{byte:03}")),
            }
        }
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

struct Header {
    id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additionals: u16,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            id: reader.u16()?,
            flags: reader.u16()?,
            questions: reader.u16()?,
            answers: reader.u16()?,
            authorities: reader.u16()?,
            additionals: reader.u16()?,
        })
    }
}

const _: () = assert!(HEADER_LEN == 6 * 2);
