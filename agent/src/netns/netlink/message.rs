//! Netlink messages and attributes as bytes (`netlink(7)`): reading them with every length checked, and
//! writing requests.

use std::io;

use super::NetlinkError;

/// Length, type, flags, sequence number, port.
const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// `NLMSG_ALIGNTO` and `NLA_ALIGNTO`.
const ALIGNMENT: usize = 4;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// What is not `NLA_F_NESTED` or `NLA_F_NET_BYTEORDER`.
const ATTRIBUTE_KIND: u16 = 0x3fff;

/// A length that points past the end, or a field that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a netlink message is cut off or contradicts itself")]
pub struct Malformed;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind a fixed header of `skip` bytes, and that header.
    pub(crate) fn split(&self, skip: usize) -> Result<(&'a [u8], Attributes<'a>), Malformed> {
        let (header, rest) = self.payload.split_at_checked(skip).ok_or(Malformed)?;
        Ok((header, Attributes { rest }))
    }

    /// Whether this acknowledges a request.
    pub(crate) fn is_acknowledgement(&self) -> bool {
        self.kind == ERROR
    }

    /// An error, if this message is one and is not an acknowledgement.
    pub(crate) fn refusal(&self) -> Result<(), NetlinkError> {
        if self.kind != ERROR {
            return Ok(());
        }
        match i32::from_ne_bytes(array(self.payload)?) {
            0 => Ok(()),
            code => Err(NetlinkError::Refused(io::Error::from_raw_os_error(code.wrapping_neg()))),
        }
    }
}

/// The messages of one datagram. After a malformed one nothing follows.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = message(&mut rest);
        if message.is_err() {
            rest = &[];
        }
        Some(message)
    })
}

fn message<'a>(rest: &mut &'a [u8]) -> Result<Message<'a>, Malformed> {
    let header: [u8; HEADER_BYTES] = array(rest)?;
    let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = header;
    let length =
        usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).map_err(|_too_long| Malformed)?;
    let payload = rest.get(HEADER_BYTES..length).ok_or(Malformed)?;
    *rest = after(rest, length);
    Ok(Message {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        payload,
    })
}

/// What follows `length` bytes and their padding, which the last of a row may lack.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default()
}

/// The attributes of a message or of a nest, each its type and value.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes nested in the value of another.
    pub(crate) fn nested(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    fn attribute(&mut self) -> Result<(u16, &'a [u8]), Malformed> {
        let [l0, l1, k0, k1] = array(self.rest)?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.rest.get(ATTRIBUTE_HEADER_BYTES..length).ok_or(Malformed)?;
        self.rest = after(self.rest, length);
        Ok((u16::from_ne_bytes([k0, k1]) & ATTRIBUTE_KIND, value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let attribute = self.attribute();
        if attribute.is_err() {
            self.rest = &[];
        }
        Some(attribute)
    }
}

/// The first `N` bytes.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.first_chunk().copied().ok_or(Malformed)
}

/// A message to the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    kind: u16,
    body: Vec<u8>,
}

impl Request {
    /// Of type `kind`, with the fixed header of its family.
    pub(crate) fn new(kind: u16, header: &[u8]) -> Self {
        let mut body = header.to_vec();
        pad(&mut body);
        Self { kind, body }
    }

    /// Adds an attribute.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Result<Self, Malformed> {
        let length = ATTRIBUTE_HEADER_BYTES.saturating_add(value.len());
        let length = u16::try_from(length).map_err(|_too_long| Malformed)?;
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        pad(&mut self.body);
        Ok(self)
    }

    /// The bytes that go out.
    pub(crate) fn finish(self, sequence: u32, flags: i32) -> Result<Vec<u8>, Malformed> {
        let length = HEADER_BYTES.saturating_add(self.body.len());
        let length = u32::try_from(length).map_err(|_too_long| Malformed)?;
        let flags = u16::try_from(flags).map_err(|_too_long| Malformed)?;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        // The kernel knows the sender's port.
        bytes.extend([0; 4]);
        bytes.extend(self.body);
        Ok(bytes)
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}
