//! The little of DNS that the barrier speaks: one TXT question, and its answer (RFC 1035 §4).
//!
//! Pure functions over bytes. What comes from the network is read with bounds on every step.

mod reader;
#[cfg(test)]
mod tests;

use crate::random::Nonce;
use reader::Reader;

/// The zone in which only weir answers, as labels. `internal` is no public name (ICANN, 2024).
const ZONE: [&str; 3] = ["attach", "weir", "internal"];
const TXT: u16 = 16;
const INTERNET: u16 = 1;
/// Length of a message's header, bytes.
const HEADER: usize = 12;

/// Header flags (RFC 1035 §4.1.1).
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const CODE: u16 = 0x000f;

/// `<nonce>.attach.weir.internal. IN TXT`.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Name, type and class as they stand in a message.
    wire: Vec<u8>,
}

/// What a server said to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The character-strings of the one TXT record.
    Text(Vec<Vec<u8>>),
    /// A response code other than `NOERROR`.
    Code(u8),
    /// An answer to the question that holds no such record; says why.
    Unusable(&'static str),
}

impl Question {
    /// The question that carries `nonce`.
    pub(crate) fn new(nonce: &Nonce) -> Self {
        let mut wire = Vec::new();
        for label in std::iter::once(nonce.as_str()).chain(ZONE) {
            // Every label here is short; a longer one would be cut, and the name answered by nobody.
            let label = label.as_bytes().iter().take(63);
            wire.push(u8::try_from(label.len()).unwrap_or_default());
            wire.extend(label);
        }
        wire.push(0);
        wire.extend(TXT.to_be_bytes());
        wire.extend(INTERNET.to_be_bytes());
        Self { wire }
    }

    /// A whole query message.
    pub(crate) fn query(&self, id: u16) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + self.wire.len());
        for field in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
            message.extend(field.to_be_bytes());
        }
        message.extend(&self.wire);
        message
    }

    /// Reads `packet` as an answer to [`Self::query`] with `id`; none when it answers something else.
    pub(crate) fn reply(&self, id: u16, packet: &[u8]) -> Option<Reply> {
        let mut reader = Reader::new(packet);
        let answered = reader.u16()?;
        let flags = reader.u16()?;
        if answered != id || flags & (RESPONSE | OPCODE) != RESPONSE {
            return None;
        }
        let questions = reader.u16()?;
        let answers = reader.u16()?;
        let _authorities = reader.u16()?;
        let _additional = reader.u16()?;
        let code = u8::try_from(flags & CODE).ok()?;
        match questions {
            // Some servers refuse without repeating what was asked.
            0 if code != 0 => {}
            // Names compare without case (RFC 4343); type and class hold no letters.
            1 if reader.take(self.wire.len())?.eq_ignore_ascii_case(&self.wire) => {}
            _ => return None,
        }
        Some(if code != 0 {
            Reply::Code(code)
        } else if flags & TRUNCATED != 0 {
            Reply::Unusable("a truncated answer")
        } else if answers != 1 {
            Reply::Unusable("an answer that is not one record")
        } else {
            self.text(&mut reader)
                .map_or(Reply::Unusable("a record that is not its text"), Reply::Text)
        })
    }

    /// The strings of the record at `reader`, when it is the one that was asked for.
    fn text(&self, reader: &mut Reader<'_>) -> Option<Vec<Vec<u8>>> {
        let mut owner = reader.name()?;
        owner.extend(reader.take(4)?);
        let _ttl = reader.take(4)?;
        let length = reader.u16()?;
        let mut data = Reader::new(reader.take(usize::from(length))?);
        if !owner.eq_ignore_ascii_case(&self.wire) {
            return None;
        }
        let mut strings = Vec::new();
        while !data.is_empty() {
            let length = data.u8()?;
            strings.push(data.take(usize::from(length))?.to_vec());
        }
        Some(strings)
    }
}
