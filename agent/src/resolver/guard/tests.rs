//! Every range, its edges, and every way to hide one address inside another.

use proptest::prelude::*;

use super::*;

fn check(address: &str, expected: Exposure) {
    assert_eq!(exposure(address.parse().unwrap()), expected, "{address}");
}

#[test]
fn public_addresses_pass() {
    for address in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "192.0.1.0",
        "2606:4700::1111",
        "2a00:1450::1",
        "2003::1",
    ] {
        check(address, Exposure::Public);
    }
}

#[test]
fn documentation_ranges_count_as_public() {
    for address in ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"] {
        check(address, Exposure::Public);
    }
}

#[test]
fn private_ranges_need_a_rule() {
    for address in [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "169.254.0.1",
        "169.254.169.253",
        "192.0.0.1",
        "198.18.0.0",
        "198.19.255.255",
        "240.0.0.1",
        "255.255.255.254",
        "fc00::",
        "fdff:ffff::1",
        "fe80::1",
        "fec0::1",
        "100::1",
        "2001:2::1",
    ] {
        check(address, Exposure::Private);
    }
}

#[test]
fn loopback_metadata_and_multicast_never_pass() {
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "::",
        "::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    ] {
        check(address, Exposure::Never);
    }
}

#[test]
fn embedded_addresses_are_judged_by_what_they_carry() {
    check("::ffff:127.0.0.1", Exposure::Never);
    check("::ffff:10.1.2.3", Exposure::Private);
    check("::ffff:192.0.2.1", Exposure::Public);
    check("::127.0.0.1", Exposure::Never);
    check("::ffff:0:10.0.0.1", Exposure::Private);
    check("64:ff9b::169.254.169.254", Exposure::Never);
    check("64:ff9b::10.0.0.1", Exposure::Private);
    check("64:ff9b::192.0.2.1", Exposure::Public);
    check("64:ff9b:1::192.0.2.1", Exposure::Private);
    check("64:ff9b:1::127.0.0.1", Exposure::Never);
    check("2002:7f00:1::1", Exposure::Never);
    check("2002:c0a8:101::1", Exposure::Private);
    check("2002:c000:201::1", Exposure::Public);
    check("2001:0:c000:201::3fff:fdfe", Exposure::Public); // client 192.0.2.1
    check("2001:0:c000:201::80ff:fffe", Exposure::Never); // client 127.0.0.1
    check("2001:0:a00:1::3fff:fdfe", Exposure::Private); // server 10.0.0.1
    check("2606:4700::5efe:10.0.0.1", Exposure::Private);
    check("2606:4700::200:5efe:127.0.0.1", Exposure::Never);
}

proptest! {
    /// No embedding is believed further than the address it carries.
    #[test]
    fn embedding_never_launders_an_address(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let plain = exposure(IpAddr::V4(v4));
        let [a, b] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
        let forms = [
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, a, b),
            Ipv6Addr::new(0x2002, a, b, 7, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0xc000, 0x201, 0, 0, !a, !b),
            Ipv6Addr::new(0x2606, 0, 0, 0, 0, 0x5efe, a, b),
        ];
        for form in forms {
            prop_assert!(exposure(IpAddr::V6(form)) >= plain, "{form}");
        }
    }
}
