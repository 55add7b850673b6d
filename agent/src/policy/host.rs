//! Host names as the policy and the resolver compare them.
//!
//! A [`HostName`] is what both sides agree on: lower case, ASCII, no trailing dot. People type names
//! (any case, Unicode, perhaps a trailing dot) and [`HostName::parse`] maps them by UTS 46; the wire
//! carries labels and [`HostName::from_wire_labels`] only folds their case. The two never mix: a wire
//! label outside the host-name alphabet is not mapped to anything, it is no name at all, so that no
//! encoding trick of a client reaches an allow list.
//!
//! Invariant: every `HostName` is 1 to 253 bytes of labels of 1 to 63 bytes from `[a-z0-9_-]`.

use std::fmt;

#[cfg(test)]
mod tests;

/// The longest name without its trailing dot, in bytes (RFC 1035 §3.1, less the root and one length).
pub const MAX_NAME_BYTES: usize = 253;
/// The longest label, in bytes (RFC 1035 §2.3.4).
pub const MAX_LABEL_BYTES: usize = 63;

/// A host name in canonical form: lower case, ASCII, without trailing dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Box<str>);

/// Why text is not a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or only the root's dot.
    #[error("it is empty")]
    Empty,
    /// Two dots in a row, or a dot in front.
    #[error("it has an empty label")]
    EmptyLabel,
    /// More than [`MAX_LABEL_BYTES`] in one label, after conversion to ASCII.
    #[error("a label is longer than {MAX_LABEL_BYTES} bytes ({0})")]
    LabelTooLong(usize),
    /// More than [`MAX_NAME_BYTES`] in all, after conversion to ASCII.
    #[error("it is longer than {MAX_NAME_BYTES} bytes ({0})")]
    TooLong(usize),
    /// A character that no host name holds.
    #[error("{0:?} cannot be part of a host name")]
    Character(char),
    /// Unicode that UTS 46 does not map, or a broken `xn--` label.
    #[error("it is no valid internationalised name (UTS 46)")]
    Idna,
    /// The last label is a number, so that programs read the text as an IPv4 address.
    #[error("it reads as an address; addresses go under `cidrs`")]
    Address,
    /// A `*` where a plain name is wanted.
    #[error("a wildcard cannot stand here")]
    Wildcard,
}

impl HostName {
    /// Reads a name as a person types it: any case, Unicode (mapped by UTS 46), a trailing dot.
    ///
    /// # Errors
    /// [`NameError`] says what keeps the text from being a host name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // A longer name cannot become a valid one, and UTS 46 need not chew on megabytes.
        if text.len() > 8 * MAX_NAME_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        let ascii = if text.is_ascii() && !text.to_ascii_lowercase().contains("xn--") {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
                .map_err(|_errors| NameError::Idna)?
                .into_owned()
        };
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        check(name)?;
        let last = name.rsplit('.').next().unwrap_or(name);
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NameError::Address);
        }
        Ok(Self(name.into()))
    }

    /// Reads a name from the labels of a DNS message, the root's empty label left out.
    ///
    /// ASCII letters are folded; nothing else is mapped. `None` if there is no label, a label is
    /// empty, too long or has a byte outside `[A-Za-z0-9_-]`, or the whole is too long.
    pub fn from_wire_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut name = String::with_capacity(64);
        for label in labels {
            if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            for byte in label {
                let byte = byte.to_ascii_lowercase();
                if !is_host_byte(byte) {
                    return None;
                }
                name.push(char::from(byte));
            }
            if name.len() > MAX_NAME_BYTES {
                return None;
            }
        }
        if name.is_empty() { None } else { Some(Self(name.into())) }
    }

    /// For text that was taken from a `HostName`, whole labels only.
    pub(super) fn from_canonical(name: &str) -> Self {
        Self(name.into())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

const fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}

/// Checks canonical text label by label; the errors are in the order that helps a reader most.
fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    for character in name.chars() {
        match character {
            '*' => return Err(NameError::Wildcard),
            '.' => {}
            _ if u8::try_from(character).is_ok_and(is_host_byte) => {}
            _ => return Err(NameError::Character(character)),
        }
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > MAX_LABEL_BYTES {
            return Err(NameError::LabelTooLong(label.len()));
        }
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    Ok(())
}
