//! Network prefixes as profiles write them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Why text is not a prefix that a rule can name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Neither an address nor a prefix.
    #[error("write a prefix as `10.96.0.0/16` or `2001:db8::/32`")]
    Syntax,
    /// An address without a prefix length.
    #[error("a prefix length is missing; for this one address write `{0}`")]
    NoLength(IpNet),
    /// A prefix length beyond the address's size.
    #[error("the prefix length is at most {max}")]
    Length {
        /// 32 or 128.
        max: u8,
    },
    /// Bits to the right of the prefix are set.
    #[error("host bits are set; did you mean `{0}`?")]
    HostBits(IpNet),
}

/// Reads a `cidrs` entry; IPv4-mapped prefixes become IPv4.
///
/// # Errors
/// [`CidrError`] says what is wrong, and the nearest prefix that would be right.
pub(super) fn parse(text: &str) -> Result<IpNet, CidrError> {
    let Some((address, length)) = text.split_once('/') else {
        let address: IpAddr = text.parse().map_err(|_error| CidrError::Syntax)?;
        return Err(CidrError::NoLength(IpNet::from(address.to_canonical())));
    };
    let address: IpAddr = address.parse().map_err(|_error| CidrError::Syntax)?;
    if length.is_empty()
        || !length.bytes().all(|byte| byte.is_ascii_digit())
        || (length.len() > 1 && length.starts_with('0'))
    {
        return Err(CidrError::Syntax);
    }
    let max = if address.is_ipv4() { 32 } else { 128 };
    let net = length
        .parse()
        .ok()
        .and_then(|length: u8| IpNet::new(address, length).ok())
        .ok_or(CidrError::Length { max })?;
    let canonical = unmap(net.trunc());
    if net.trunc() == net { Ok(canonical) } else { Err(CidrError::HostBits(canonical)) }
}

/// Turns a prefix inside `::ffff:0:0/96` into the IPv4 prefix it stands for.
fn unmap(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let v4 = || {
        let address = v6.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, v6.prefix_len().checked_sub(96)?).ok()
    };
    v4().map_or(net, IpNet::V4)
}
