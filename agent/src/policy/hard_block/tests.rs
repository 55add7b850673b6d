//! Policy, resolver and kernel programs know the same metadata services.

use proptest::prelude::*;

use super::*;
use crate::resolver::guard::{Exposure, exposure};

/// Every service that any of the three names.
const SERVICES: [&str; 9] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
];

#[test]
fn all_three_know_every_service() {
    for service in SERVICES {
        let address: IpAddr = service.parse().unwrap();
        assert!(Address::from(address).is_metadata(), "{service}");
        assert_eq!(HardBlock::of(address, Port::HTTPS), Some(HardBlock::Metadata), "{service}");
        assert_eq!(exposure(address), Exposure::Never, "{service}");
    }
}

#[test]
fn a_v4_mapped_service_is_one() {
    let address = "::ffff:169.254.169.254".parse().unwrap();
    assert_eq!(HardBlock::of(address, Port::HTTPS), Some(HardBlock::Metadata));
    assert_eq!(exposure(address), Exposure::Never);
}

proptest! {
    /// One bit beside a service is none, unless it is another.
    #[test]
    fn none_knows_another(service in prop::sample::select(&SERVICES[..]), bit in 0..128_u32) {
        let neighbour = match service.parse().unwrap() {
            IpAddr::V4(v4) => IpAddr::from((v4.to_bits() ^ (1 << (bit % 16))).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((v6.to_bits() ^ (1 << (bit % 112))).to_be_bytes()),
        };
        let known = SERVICES.iter().any(|service| service.parse() == Ok(neighbour));
        prop_assert_eq!(HardBlock::of(neighbour, Port::HTTPS).is_some(), known);
        prop_assert_eq!(exposure(neighbour) == Exposure::Never, known);
    }
}
