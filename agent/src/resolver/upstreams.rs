//! Where questions are asked: the servers of a `resolv.conf`, or addresses given by hand.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

#[cfg(test)]
mod tests;

/// Servers asked at most; the C library stops at three (resolv.conf(5), `MAXNS`).
const MAX_SERVERS: usize = 8;
/// The DNS port.
const PORT: u16 = 53;

/// The servers to ask, in order, and the search list that stub resolvers of the host use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstreams {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: u8,
}

/// Why there is nobody to ask.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpstreamsError {
    /// A `nameserver` line without an address.
    #[error("reading resolv.conf line {line}: `{text}` is not the address of a name server")]
    BadAddress {
        /// The line, from 1.
        line: usize,
        /// What stands where the address should.
        text: String,
    },
    /// No server at all. The C library would ask its own host, which weir does not guess at.
    #[error("no name server to ask was given")]
    Empty,
}

/// A search list as it is compared with names: lower-cased, outer dots removed.
#[must_use]
pub fn search_list<'a>(suffixes: impl Iterator<Item = &'a str>) -> Vec<String> {
    suffixes.filter_map(suffix).collect()
}

impl Upstreams {
    /// Reads the text of a `resolv.conf`: `nameserver`, `search`, `domain` and `options ndots`.
    pub fn from_resolv_conf(text: &str) -> Result<Self, UpstreamsError> {
        let mut found = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for (index, line) in text.lines().enumerate() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let word = words.next().unwrap_or_default();
                    let server = server_address(word).ok_or_else(|| {
                        UpstreamsError::BadAddress { line: index + 1, text: word.to_owned() }
                    })?;
                    found.servers.push(server);
                }
                // The last of `search` and `domain` wins (resolv.conf(5)).
                Some("search" | "domain") => found.search = words.filter_map(suffix).collect(),
                Some("options") => {
                    let ndots = words
                        .filter_map(|word| word.strip_prefix("ndots:")?.parse().ok())
                        .next_back();
                    found.ndots = ndots.unwrap_or(found.ndots);
                }
                _ => {}
            }
        }
        found.servers.truncate(MAX_SERVERS);
        if found.servers.is_empty() { Err(UpstreamsError::Empty) } else { Ok(found) }
    }

    /// These servers, and no search list.
    pub fn from_addrs(servers: &[SocketAddr]) -> Result<Self, UpstreamsError> {
        if servers.is_empty() {
            return Err(UpstreamsError::Empty);
        }
        let servers = servers.iter().copied().take(MAX_SERVERS).collect();
        Ok(Self { servers, search: Vec::new(), ndots: 1 })
    }

    /// The same servers with this search list (lower-cased, outer dots removed).
    #[must_use]
    pub fn with_search(mut self, search: &[&str]) -> Self {
        self.search = search_list(search.iter().copied());
        self
    }

    /// The servers, in the order they are asked. Never empty.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The search list: suffixes in lower case without a dot at either end.
    #[must_use]
    pub fn search(&self) -> &[String] {
        &self.search
    }

    /// Names with fewer dots than this are tried with the search list first.
    #[must_use]
    pub fn ndots(&self) -> u8 {
        self.ndots
    }
}

/// An address as resolv.conf(5) writes it: IPv4, or IPv6 with an optional zone (RFC 4007).
fn server_address(word: &str) -> Option<SocketAddr> {
    let Some((address, zone)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT));
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = zone.parse().ok().or_else(|| nix::net::if_::if_nametoindex(zone).ok())?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

/// A search suffix in the form that names are compared in; `None` for the root.
fn suffix(word: &str) -> Option<String> {
    let word = word.trim_matches('.');
    (!word.is_empty()).then(|| word.to_ascii_lowercase())
}
