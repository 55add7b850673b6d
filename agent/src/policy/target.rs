//! A destination as typed on the command line: `NAME|ADDR[:PORT[/PROTO]]`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::host::{HostName, NameError};
use super::port::{Port, PortError};

/// Where somebody wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name or address.
    pub host: Host,
    /// The port, 443/tcp if none was typed.
    pub port: Port,
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// To be resolved.
    Name(HostName),
    /// Reached without asking a resolver.
    Address(IpAddr),
}

/// Why text is not a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The part in front of the port is neither a name nor an address.
    #[error("`{text}` is not a host name: {error}")]
    Name {
        /// What was typed there.
        text: String,
        /// Why it is no name.
        error: NameError,
    },
    /// The part behind the colon is no port.
    #[error("`{text}` is not a port: {error}")]
    Port {
        /// What was typed there.
        text: String,
        /// Why it is no port.
        error: PortError,
    },
    /// Brackets without an IPv6 address in them, or colons without brackets.
    #[error(
        "`{0}` is not a destination: an IPv6 address with a port is written `[2001:db8::1]:443`"
    )]
    Ipv6(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Ok(address) = text.parse() {
            return Ok(Self { host: Host::Address(address), port: Port::HTTPS });
        }
        let ipv6 = || TargetError::Ipv6(text.to_owned());
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or_else(ipv6)?;
            let address: Ipv6Addr = address.parse().map_err(|_error| ipv6())?;
            let port = match port.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if port.is_empty() => Port::HTTPS,
                None => return Err(ipv6()),
            };
            return Ok(Self { host: Host::Address(address.into()), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(ipv6()),
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, Port::HTTPS),
        };
        let host = match host.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(
                HostName::parse(host)
                    .map_err(|error| TargetError::Name { text: host.to_owned(), error })?,
            ),
        };
        Ok(Self { host, port })
    }
}

fn parse_port(text: &str) -> Result<Port, TargetError> {
    text.parse().map_err(|error| TargetError::Port { text: text.to_owned(), error })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
        }
    }
}
