//! A protocol and a port: what a rule grants on an address.

use std::fmt;
use std::str::FromStr;

/// The protocols that a rule can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP, for QUIC among others.
    Udp,
    /// ICMP and `ICMPv6` echo.
    Icmp,
}

/// One protocol and port; for [`Protocol::Icmp`] the number is 0.
///
/// Text forms: `443` (TCP), `443/tcp`, `443/udp`, `icmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port number, 1 to 65535; 0 for ICMP.
    pub number: u16,
}

/// Why text is not a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Zero, or above 65535.
    #[error("a port is a number from 1 to 65535")]
    OutOfRange,
    /// Not a plain decimal number.
    #[error("write a port as `443`, `443/udp` or `icmp`")]
    NotANumber,
    /// `8000-8010`.
    #[error("port ranges are not supported; list each port")]
    Range,
    /// A protocol that rules cannot name.
    #[error("the protocol after `/` is `tcp` or `udp`")]
    Protocol,
}

impl Protocol {
    /// The name as events and profiles write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

impl Port {
    /// HTTPS over TCP: what a rule without `ports` grants.
    pub const HTTPS: Self = Self::tcp(443);
    /// ICMP echo.
    pub const ICMP: Self = Self { protocol: Protocol::Icmp, number: 0 };

    /// A TCP port.
    #[must_use]
    pub const fn tcp(number: u16) -> Self {
        Self { protocol: Protocol::Tcp, number }
    }

    /// A UDP port.
    #[must_use]
    pub const fn udp(number: u16) -> Self {
        Self { protocol: Protocol::Udp, number }
    }
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        if text == "icmp" {
            return Ok(Self::ICMP);
        }
        let (number, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((number, "tcp")) => (number, Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some((number, _)) => {
                parse_number(number)?;
                return Err(PortError::Protocol);
            }
        };
        Ok(Self { protocol, number: parse_number(number)? })
    }
}

/// A decimal number without sign or leading zero, so that no reader takes it for octal.
fn parse_number(text: &str) -> Result<u16, PortError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let range = digits
            .split_once(['-', ':'])
            .is_some_and(|(low, high)| [low, high].iter().all(|end| end.parse::<u32>().is_ok()));
        return Err(if range { PortError::Range } else { PortError::NotANumber });
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(PortError::NotANumber);
    }
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(PortError::OutOfRange),
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Icmp => f.write_str("icmp"),
            protocol => write!(f, "{}/{}", self.number, protocol.as_str()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
