//! What a `domains` entry may say: a host name, or a wildcard over the names below one.

use std::fmt;

use super::host::{HostName, NameError};

/// One entry of `domains`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainPattern {
    /// Which names of `name` or below it match.
    pub scope: Scope,
    /// The name itself, or the name below which the wildcard stands.
    pub name: HostName,
}

/// How far a [`DomainPattern`] reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The name itself and nothing else.
    Exact,
    /// `*.name`: exactly one label in front of the name.
    OneLabel,
    /// `**.name`: one or more labels in front of the name.
    AnyLabels,
}

/// Why text is not a domain pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The name, or what stands behind the wildcard, is not a host name.
    #[error("{0}")]
    Name(#[from] NameError),
    /// `*` or `**` alone.
    #[error(
        "a wildcard alone would allow every name; put it in front of a domain, `*.example.com`"
    )]
    Bare,
    /// A wildcard directly over one label.
    #[error(
        "a wildcard over a single label (`{0}`) would allow a whole top-level domain; name at least two labels behind it"
    )]
    OverSingleLabel(HostName),
    /// A `*` anywhere but as the whole leftmost label.
    #[error(
        "a wildcard can only be the whole leftmost label: `*.example.com` (one label) or `**.example.com` (one or more)"
    )]
    Misplaced,
}

impl DomainPattern {
    /// Reads an entry of `domains`.
    ///
    /// # Errors
    /// [`PatternError`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if matches!(text.strip_suffix('.').unwrap_or(text), "*" | "**") {
            return Err(PatternError::Bare);
        }
        let (scope, name) = if let Some(rest) = text.strip_prefix("**.") {
            (Scope::AnyLabels, rest)
        } else if let Some(rest) = text.strip_prefix("*.") {
            (Scope::OneLabel, rest)
        } else {
            (Scope::Exact, text)
        };
        if name.contains('*') {
            return Err(PatternError::Misplaced);
        }
        let name = HostName::parse(name)?;
        if scope != Scope::Exact && !name.as_str().contains('.') {
            return Err(PatternError::OverSingleLabel(name));
        }
        Ok(Self { scope, name })
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wildcard = match self.scope {
            Scope::Exact => "",
            Scope::OneLabel => "*.",
            Scope::AnyLabels => "**.",
        };
        write!(f, "{wildcard}{}", self.name)
    }
}
