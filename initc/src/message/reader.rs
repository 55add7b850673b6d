//! A cursor over a message that came from the network.

/// Longest name, bytes on the wire (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;
/// The two high bits of a length that is a pointer (RFC 1035 §4.1.4).
const POINTER: u8 = 0xc0;

/// Reads forwards; none at the end, or where the bytes cannot be meant.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.at >= self.message.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A name without compression, its final zero included.
    ///
    /// A pointer may lead only to before the run of labels that it ends, so that no message leads in
    /// circles.
    pub(super) fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let mut cursor = self.clone();
        let mut run = cursor.at;
        let mut jumped = false;
        loop {
            let length = cursor.u8()?;
            if length & POINTER == POINTER {
                let low = cursor.u8()?;
                if !jumped {
                    self.at = cursor.at;
                    jumped = true;
                }
                let target = usize::from(u16::from_be_bytes([length & !POINTER, low]));
                if target >= run {
                    return None;
                }
                cursor.at = target;
                run = target;
                continue;
            }
            if length & POINTER != 0 {
                return None;
            }
            name.push(length);
            name.extend(cursor.take(usize::from(length))?);
            if name.len() > LONGEST_NAME {
                return None;
            }
            if length == 0 {
                break;
            }
        }
        if !jumped {
            self.at = cursor.at;
        }
        Some(name)
    }
}
