//! Names that are no names of the Internet.

use super::super::testing::question;
use super::*;

fn request(name: &str, rtype: &str) -> Request {
    Request::parse(&question(name, rtype).to_vec().unwrap()).ok().unwrap()
}

#[test]
fn localhost_and_what_is_below_it() {
    for (name, expected) in [
        ("localhost.", true),
        ("LocalHost.", true),
        ("a.b.localhost.", true),
        ("localhost.example.com.", false),
        ("notlocalhost.", false),
        (".", false),
    ] {
        assert_eq!(is_localhost(&request(name, "A")), expected, "{name}");
    }
}

#[test]
fn whole_reverse_names_only() {
    let nibbles = "1.".repeat(32);
    let nibbles_31 = "1.".repeat(31);
    for (name, expected) in [
        ("1.2.0.192.in-addr.arpa.", true),
        ("0.0.0.255.in-addr.arpa.", true),
        ("2.0.192.in-addr.arpa.", false),
        ("1.1.2.0.192.in-addr.arpa.", false),
        ("256.2.0.192.in-addr.arpa.", false),
        ("01.2.0.192.in-addr.arpa.", false),
        ("1_.2.0.192.in-addr.arpa.", false),
        ("a.2.0.192.in-addr.arpa.", false),
        ("in-addr.arpa.", false),
        (&format!("{nibbles}ip6.arpa."), true),
        (&format!("{nibbles_31}ip6.arpa."), false),
        (&format!("g.{nibbles_31}ip6.arpa."), false),
        (&format!("11.{nibbles_31}ip6.arpa."), false),
        (&format!("1.{nibbles}ip6.arpa."), false),
    ] {
        assert_eq!(is_reverse_lookup(&request(name, "PTR")), expected, "{name}");
        assert!(!is_reverse_lookup(&request(name, "TXT")));
    }
}
