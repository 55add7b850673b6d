//! Host and port, read from the spellings that the clients' files use: URLs, scp-like remotes, image references.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Url;

use crate::policy::{HardBlock, HostName, Port};

#[cfg(test)]
mod tests;

/// A place on the network that a client connects to, over TCP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    Name(HostName),
    Address(IpAddr),
}

/// Why a text leads to no endpoint that a profile could open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoEndpoint {
    /// It stays on this machine: a path, loopback, a reference to something else in the file.
    Local,
    /// The host is a variable, which only the job's environment can fill.
    Variable,
    /// A protocol without a port of its own, or a host that is none.
    Unsupported,
    /// An image without a host comes from the registry that the client is set up for.
    DefaultRegistry,
    /// What no profile opens: metadata services, DNS past weir's resolver.
    Closed,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The endpoint of a URL, such as `https://user@registry.example.com:8443/path`. What stands in front of the scheme
/// (`git+https`, `registry+https`, `mirror+http`) says how the client uses it and is passed over.
pub(super) fn url(text: &str) -> Result<Endpoint, NoEndpoint> {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(if has_variable(text) { NoEndpoint::Variable } else { NoEndpoint::Local });
    };
    if has_variable(scheme) {
        return Err(NoEndpoint::Variable);
    }
    let scheme = scheme.rsplit('+').next().unwrap_or(scheme).to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let place = authority.rsplit('@').next().unwrap_or(authority);
    if has_variable(place) {
        return Err(NoEndpoint::Variable);
    }
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        "ssh" => 22,
        "git" => 9418,
        "file" => return Err(NoEndpoint::Local),
        _ => return Err(NoEndpoint::Unsupported),
    };
    // Browsers read `https:///x` as the host x; the clients refuse it.
    if place.is_empty() {
        return Err(NoEndpoint::Unsupported);
    }
    match Url::parse(&format!("{scheme}://{rest}")) {
        Ok(url) => {
            let host = url.host_str().ok_or(NoEndpoint::Local)?;
            endpoint(host, url.port().unwrap_or(usual))
        }
        // npm and pip write `git+ssh://git@host:group/project`, a URL with a path where the port belongs.
        Err(url::ParseError::InvalidPort) if scheme == "ssh" => scp_like(rest),
        Err(_) => Err(NoEndpoint::Unsupported),
    }
}

/// The endpoint of a git remote: a URL, or `user@host:path`.
pub(super) fn git(text: &str) -> Result<Endpoint, NoEndpoint> {
    let text = text.trim();
    if text.contains("://") {
        return url(text);
    }
    // Before any slash, as git tells a remote from a path.
    let first = text.split('/').next().unwrap_or(text);
    if first.contains("::") && !first.contains('[') {
        return Err(NoEndpoint::Unsupported);
    }
    if first.contains(':') && !first.starts_with('.') {
        return scp_like(text);
    }
    Err(if has_variable(first) { NoEndpoint::Variable } else { NoEndpoint::Local })
}

/// The endpoint of a proxy, which may be written without a scheme.
pub(super) fn proxy(text: &str) -> Result<Endpoint, NoEndpoint> {
    let text = text.trim();
    if text.contains("://") { url(text) } else { url(&format!("http://{text}")) }
}

/// The registry of an image reference, such as `registry.example.com:5000/group/image:tag`: its first part, if that
/// looks like a host.
pub(super) fn image(text: &str) -> Result<Endpoint, NoEndpoint> {
    let text = text.trim();
    let Some((first, _)) = text.split_once('/') else {
        // `name:tag` or `name@digest`: a variable in the tag changes no host.
        let name = text.split([':', '@']).next().unwrap_or(text);
        return Err(if name.is_empty() {
            NoEndpoint::Local
        } else if has_variable(name) {
            NoEndpoint::Variable
        } else {
            NoEndpoint::DefaultRegistry
        });
    };
    if has_variable(first) {
        return Err(NoEndpoint::Variable);
    }
    if first != "localhost" && !first.contains(['.', ':']) {
        return Err(NoEndpoint::DefaultRegistry);
    }
    url(&format!("https://{first}/"))
}

/// `[user@]host:path`, by ssh.
fn scp_like(text: &str) -> Result<Endpoint, NoEndpoint> {
    let place = text.split('/').next().unwrap_or(text);
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => place.split(':').next().unwrap_or(place),
    };
    if has_variable(host) {
        return Err(NoEndpoint::Variable);
    }
    endpoint(host, 22)
}

fn endpoint(host: &str, port: u16) -> Result<Endpoint, NoEndpoint> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse::<IpAddr>() {
        Ok(address) => Host::Address(address.to_canonical()),
        Err(_) => Host::Name(HostName::parse(bare).map_err(|_error| NoEndpoint::Unsupported)?),
    };
    let tcp = Port::tcp(port);
    match &host {
        _ if port == 0 => return Err(NoEndpoint::Unsupported),
        Host::Address(address) if stays_here(*address) => return Err(NoEndpoint::Local),
        Host::Name(name) if is_localhost(name) => return Err(NoEndpoint::Local),
        Host::Address(address) if HardBlock::of(*address, tcp).is_some() => {
            return Err(NoEndpoint::Closed);
        }
        Host::Name(_) if HardBlock::of_port(tcp).is_some() => return Err(NoEndpoint::Closed),
        _ => {}
    }
    Ok(Endpoint { host, port })
}

fn stays_here(address: IpAddr) -> bool {
    let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    address.is_loopback() || unspecified.contains(&address)
}

/// RFC 6761 §6.3: the name and everything below it.
fn is_localhost(name: &HostName) -> bool {
    name.as_str() == "localhost" || name.as_str().ends_with(".localhost")
}

/// Whether text holds something that its client fills in: `$X`, `${X}`, `%(x)s`, `{{x}}`, `<x>`, `@X@`.
fn has_variable(text: &str) -> bool {
    text.contains('$') || text.contains("%(") || text.contains("{{") || text.contains('<')
}
