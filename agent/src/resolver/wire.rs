//! Numbers of the DNS message format (RFC 1035 §4, RFC 6891) and bounds-checked reads of it.

/// Length of the fixed header, in bytes.
pub(super) const HEADER_LEN: usize = 12;
/// Longest name in wire form, root label included (RFC 1035 §2.3.4).
pub(super) const MAX_NAME_LEN: usize = 255;
/// A pointer to the question's name, which always starts right behind the header.
pub(super) const QUESTION_POINTER: u16 = 0xc00c;
/// The class of the Internet.
pub(super) const CLASS_IN: u16 = 1;

/// Record and question types (IANA DNS parameters).
pub(super) mod rtype {
    pub(in crate::resolver) const A: u16 = 1;
    pub(in crate::resolver) const NS: u16 = 2;
    pub(in crate::resolver) const CNAME: u16 = 5;
    pub(in crate::resolver) const SOA: u16 = 6;
    pub(in crate::resolver) const PTR: u16 = 12;
    pub(in crate::resolver) const HINFO: u16 = 13;
    pub(in crate::resolver) const MX: u16 = 15;
    pub(in crate::resolver) const TXT: u16 = 16;
    pub(in crate::resolver) const AAAA: u16 = 28;
    pub(in crate::resolver) const SRV: u16 = 33;
    pub(in crate::resolver) const NAPTR: u16 = 35;
    pub(in crate::resolver) const OPT: u16 = 41;
    pub(in crate::resolver) const SSHFP: u16 = 44;
    pub(in crate::resolver) const TLSA: u16 = 52;
    pub(in crate::resolver) const SVCB: u16 = 64;
    pub(in crate::resolver) const HTTPS: u16 = 65;
    pub(in crate::resolver) const ANY: u16 = 255;
    pub(in crate::resolver) const CAA: u16 = 257;
}

/// Response codes (RFC 1035 §4.1.1, RFC 6891 §9).
pub(super) mod rcode {
    pub(in crate::resolver) const NO_ERROR: u16 = 0;
    pub(in crate::resolver) const FORMAT_ERROR: u16 = 1;
    pub(in crate::resolver) const SERVER_FAILURE: u16 = 2;
    pub(in crate::resolver) const NAME_ERROR: u16 = 3;
    pub(in crate::resolver) const NOT_IMPLEMENTED: u16 = 4;
    pub(in crate::resolver) const REFUSED: u16 = 5;
    pub(in crate::resolver) const BAD_VERSION: u16 = 16;
}

/// Bits of the header's second 16-bit word.
pub(super) mod flag {
    pub(in crate::resolver) const RESPONSE: u16 = 1 << 15;
    pub(in crate::resolver) const TRUNCATED: u16 = 1 << 9;
    pub(in crate::resolver) const RECURSION_DESIRED: u16 = 1 << 8;
    pub(in crate::resolver) const RECURSION_AVAILABLE: u16 = 1 << 7;
    pub(in crate::resolver) const CHECKING_DISABLED: u16 = 1 << 4;
}

/// Takes bytes off the front of a message; `None` once it is too short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let (&bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u16::from_be_bytes(bytes))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (&bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(bytes))
    }
}

/// A resource record's owner-less head, as [`Reader::record`] finds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordHead<'a> {
    pub(super) root_owner: bool,
    pub(super) rtype: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    pub(super) data: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Steps over one resource record (RFC 1035 §4.1.3) without following pointers.
    pub(super) fn record(&mut self) -> Option<RecordHead<'a>> {
        let mut root_owner = true;
        loop {
            match self.u8()? {
                0 => break,
                len @ 1..=63 => {
                    self.take(usize::from(len))?;
                }
                0xc0.. => {
                    self.u8()?;
                    root_owner = false;
                    break;
                }
                _ => return None,
            }
            root_owner = false;
        }
        let (rtype, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let len = self.u16()?;
        let data = self.take(usize::from(len))?;
        Some(RecordHead { root_owner, rtype, class, ttl, data })
    }
}
