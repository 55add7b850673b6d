//! Addresses and endpoints: one key form for IPv4 and IPv6.

use core::net::IpAddr;

/// IP protocol numbers that a rule can name (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    /// ICMP for IPv4 (RFC 792).
    pub const ICMP: u8 = 1;
    /// Transmission Control Protocol (RFC 9293).
    pub const TCP: u8 = 6;
    /// User Datagram Protocol (RFC 768).
    pub const UDP: u8 = 17;
    /// ICMP for IPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
}

/// An IPv6 address, or an IPv4 address in its v4-mapped form (RFC 4291 §2.5.5.2), as four words in
/// network byte order: what the kernel's socket contexts hand out and what map keys hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Address(pub [u32; 4]);

const V4_PREFIX: u32 = 0x0000_ffff_u32.to_be();

impl Address {
    /// The v4-mapped form of an IPv4 address given in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_be(address: u32) -> Self {
        Self([0, 0, V4_PREFIX, address])
    }

    /// The form of an address given as 16 bytes.
    #[must_use]
    pub fn from_octets(octets: [u8; 16]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(octets.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        Self(words)
    }

    /// The 16 bytes of the address.
    #[must_use]
    pub fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        for (bytes, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            *bytes = word.to_ne_bytes();
        }
        octets
    }

    /// `0.0.0.0` and `::`, which a connect takes for this machine.
    #[inline(always)]
    #[must_use]
    pub const fn is_unspecified(&self) -> bool {
        let [w0, w1, w2, w3] = self.0;
        w0 | w1 | w3 == 0 && (w2 == 0 || w2 == V4_PREFIX)
    }

    /// The IPv4 address inside a v4-mapped address, in network byte order.
    ///
    /// One comparison, here and below, where four would read better: the verifier follows each way out of them.
    #[inline(always)]
    #[must_use]
    pub const fn v4_be(&self) -> Option<u32> {
        let [w0, w1, w2, w3] = self.0;
        if w0 | w1 | (w2 ^ V4_PREFIX) == 0 { Some(w3) } else { None }
    }

    /// `127.0.0.0/8` and `::1` (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
    #[inline(always)]
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        let [w0, w1, w2, w3] = self.0;
        match self.v4_be() {
            Some(v4) => u32::from_be(v4) >> 24 == 127,
            None => w0 | w1 | w2 | (w3 ^ 1_u32.to_be()) == 0,
        }
    }

    /// `fe80::/10` or `ff02::/16`: never leaves the link (RFC 4291 §2.5.6 and §2.7).
    #[inline(always)]
    #[must_use]
    pub const fn is_v6_link_scope(&self) -> bool {
        let high = u32::from_be(self.0[0]);
        high & 0xffc0_0000 == 0xfe80_0000 || high >> 16 == 0xff02
    }

    /// The instance metadata services of the large clouds, and their IPv6 forms.
    ///
    /// 169.254.169.254 (AWS, GCP, Azure, `OpenStack`, `DigitalOcean`, OCI), 169.254.170.2 (ECS task
    /// roles), 169.254.170.23 and `fd00:ec2::23` (EKS pod identity), `fd00:ec2::254` (AWS),
    /// `fd20:ce::254` (GCP), 100.100.100.200 (Alibaba), 168.63.129.16 (Azure wire server),
    /// 192.0.0.192 (OCI, legacy).
    #[inline(always)]
    #[must_use]
    pub const fn is_metadata(&self) -> bool {
        if let Some(v4) = self.v4_be() {
            return matches!(
                u32::from_be(v4),
                0xa9fe_a9fe | 0xa9fe_aa02 | 0xa9fe_aa17 | 0x6464_64c8 | 0xa83f_8110 | 0xc000_00c0
            );
        }
        let [w0, w1, w2, w3] = self.0;
        let (high, low) = (u32::from_be(w0), u32::from_be(w3));
        w1 | w2 == 0
            && ((high == 0xfd00_0ec2 && (low == 0x254 || low == 0x23))
                || (high == 0xfd20_00ce && low == 0x254))
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::from_octets(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => Self::from_octets(v6.octets()),
        }
    }
}

/// An address with a transport protocol and a port: the key of the allow map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The port in host byte order; 0 for protocols without ports.
    pub port: u16,
    /// The IP protocol number.
    pub protocol: u8,
    /// Always zero: map keys are compared as bytes.
    pub padding: u8,
}

const _: () = assert!(size_of::<Endpoint>() == 20);

impl Endpoint {
    /// An endpoint from its parts, `port` in host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Address, protocol: u8, port: u16) -> Self {
        Self { address, port, protocol, padding: 0 }
    }
}

#[cfg(test)]
mod tests;
