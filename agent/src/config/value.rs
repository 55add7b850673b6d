//! What the texts of a configuration mean.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Component, PathBuf};

use hyper::Uri;

use super::Switch;
use crate::policy::is_profile_name;

/// The longest path of a Unix socket (unix(7): `sun_path` holds 108 bytes with the final zero).
const SOCKET_BYTES: usize = 107;
/// The longest text for the page of a job: some lines in each log that shows it.
const HELP_BYTES: usize = 2000;
/// The port of name servers that are given without one.
const DNS_PORT: u16 = 53;

/// How a text is read, and what is said where it cannot be.
pub(super) struct Meaning<T> {
    pub(super) parse: fn(&str) -> Option<T>,
    pub(super) expected: &'static str,
}

pub(super) const PATH: Meaning<PathBuf> =
    Meaning { parse: path, expected: "an absolute path without `..`" };

pub(super) const SOCKET: Meaning<PathBuf> = Meaning {
    parse: |text| path(text).filter(|_| text.len() <= SOCKET_BYTES),
    expected: "an absolute path without `..`, at most 107 bytes long as a socket's must be",
};

pub(super) const ADDRESS: Meaning<SocketAddr> =
    Meaning { parse: |text| text.parse().ok(), expected: "ADDR:PORT ([ADDR]:PORT for IPv6)" };

/// The most that a file of records may grow to, and of which so many older ones may be kept.
pub(super) const FILE_MEBIBYTES: u32 = 1 << 20;
pub(super) const FILE_KEEP: u32 = 1000;

pub(super) const COLLECTOR: Meaning<String> = Meaning {
    parse: |text| {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
        let is_plain = uri.port_u16().is_some() && uri.query().is_none() && uri.path() == "/";
        (scheme.is_some() && is_plain).then(|| text.to_owned())
    },
    expected: "http://HOST:PORT or https://HOST:PORT of a collector that takes OTLP over gRPC (usually port 4317)",
};

pub(super) const SWITCH: Meaning<Switch> = Meaning {
    parse: |text| {
        [Switch::Auto, Switch::On, Switch::Off].into_iter().find(|switch| switch.as_str() == text)
    },
    expected: "`auto`, `true` or `false`",
};

pub(super) const UPSTREAM: Meaning<SocketAddr> = Meaning {
    parse: upstream,
    expected: "an IP address or ADDR:PORT ([ADDR]:PORT for IPv6), other than the unspecified one",
};

pub(super) const NAMESPACE: Meaning<String> = Meaning {
    parse: |text| (text.len() <= 63 && is_label(text)).then(|| text.to_owned()),
    expected: "the name of a Kubernetes namespace (RFC 1123 label)",
};

pub(super) const CONTAINERD_NAMESPACE: Meaning<String> = Meaning {
    parse: |text| {
        (text.len() <= 76 && text.split(['-', '_', '.']).all(is_alphanumeric))
            .then(|| text.to_owned())
    },
    expected: "the name of a containerd namespace",
};

pub(super) const PROFILE: Meaning<String> = Meaning {
    parse: |text| is_profile_name(text).then(|| text.to_owned()),
    expected: "the name of a profile",
};

pub(super) const LABEL_KEY: Meaning<String> = Meaning {
    parse: |text| {
        let (prefix, name) = text.split_once('/').unwrap_or(("x", text));
        let fits = prefix.len() <= 253 && prefix.split('.').all(is_label);
        (fits && !name.is_empty() && is_label_text(name)).then(|| text.to_owned())
    },
    expected: "the key of a Kubernetes label",
};

pub(super) const LABEL_VALUE: Meaning<String> = Meaning {
    parse: |text| is_label_text(text).then(|| text.to_owned()),
    expected: "the value of a Kubernetes label",
};

pub(super) const HELP: Meaning<String> = Meaning {
    parse: |text| {
        let fits = !text.trim().is_empty() && text.len() <= HELP_BYTES;
        let plain = |character: char| character == '\n' || !character.is_control();
        (fits && text.chars().all(plain)).then(|| text.to_owned())
    },
    expected: "text of at most 2000 bytes without control characters other than the end of a line",
};

pub(super) const NODE: Meaning<String> = Meaning {
    parse: |text| {
        let fits = text.len() <= 253 && text.split('.').all(is_label);
        fits.then(|| text.to_owned())
    },
    expected: "`auto` or the name of a node (RFC 1123 subdomain)",
};

/// A whole number in decimal digits, from `min` to `max`.
pub(super) fn number(text: &str, min: u32, max: u32) -> Option<NonZeroU32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let number: u32 = text.parse().ok().filter(|_| plain)?;
    NonZeroU32::new(number).filter(|number| (min..=max).contains(&number.get()))
}

fn path(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let fits = path.is_absolute() && path.components().all(plain) && !text.contains('\0');
    fits.then_some(path)
}

fn upstream(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT));
    let server: SocketAddr = text.parse().ok().or_else(bare)?;
    (!server.ip().is_unspecified() && server.port() != 0).then_some(server)
}

/// RFC 1123, section 2.1, in lower case as Kubernetes wants it.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// What the name in a label's key and a label's value may be; the value may be empty.
fn is_label_text(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 63
        && text.bytes().all(inner)
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

fn is_alphanumeric(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
