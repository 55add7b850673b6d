//! Address forms and ranges, against the standard library's own idea of them.

extern crate std;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::Address;

fn address(ip: &str) -> Address {
    Address::from(ip.parse::<IpAddr>().unwrap())
}

#[test]
fn v4_mapped_text_and_v4_are_one_address() {
    assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
    assert_ne!(address("::192.0.2.7"), address("192.0.2.7"));
    let words = Address::from_v4_be(u32::from_ne_bytes([192, 0, 2, 7]));
    assert_eq!(words, address("192.0.2.7"));
}

#[test]
fn metadata_services_are_known_in_both_families() {
    for ip in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
    ] {
        assert!(address(ip).is_metadata(), "{ip}");
    }
    for ip in ["169.254.169.253", "fd00:ec2::255", "fd00:ec2:0:1::254", "2001:db8::254"] {
        assert!(!address(ip).is_metadata(), "{ip}");
    }
}

#[test]
fn link_scope_is_v6_only() {
    assert!(address("fe80::1").is_v6_link_scope());
    assert!(address("febf::1").is_v6_link_scope());
    assert!(address("ff02::16").is_v6_link_scope());
    assert!(!address("ff05::1").is_v6_link_scope());
    assert!(!address("fec0::1").is_v6_link_scope());
    assert!(!address("169.254.1.1").is_v6_link_scope());
}

proptest! {
    #[test]
    fn octets_round_trip(octets: [u8; 16]) {
        prop_assert_eq!(Address::from_octets(octets).octets(), octets);
    }

    #[test]
    fn loopback_agrees_with_the_standard_library(octets: [u8; 16], v4: [u8; 4], force in 0_u8..4) {
        let ip: IpAddr = match force {
            0 => Ipv6Addr::from(octets).into(),
            1 => Ipv4Addr::from(v4).into(),
            2 => Ipv4Addr::new(127, v4[1], v4[2], v4[3]).into(),
            _ => Ipv6Addr::LOCALHOST.into(),
        };
        prop_assert_eq!(address(&std::format!("{ip}")).is_loopback(), ip.to_canonical().is_loopback());
    }
}
