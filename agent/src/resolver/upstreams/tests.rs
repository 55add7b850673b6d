//! resolv.conf(5), clause by clause.

use super::*;

fn servers(text: &str) -> Vec<String> {
    let found = Upstreams::from_resolv_conf(text).unwrap();
    found.servers().iter().map(ToString::to_string).collect()
}

#[test]
fn servers_keep_their_order_and_comments_are_skipped() {
    let text = "# first\nnameserver 192.0.2.1 # edge\n; no\n\tnameserver 2001:db8::1\n";
    assert_eq!(servers(text), ["192.0.2.1:53", "[2001:db8::1]:53"]);
}

#[test]
fn a_zone_is_an_interface() {
    assert_eq!(servers("nameserver fe80::1%lo"), ["[fe80::1%1]:53"]);
    assert_eq!(servers("nameserver fe80::1%7"), ["[fe80::1%7]:53"]);
}

#[test]
fn the_last_search_list_wins() {
    let text = "nameserver 192.0.2.1\nsearch a.example.com B.Example.com.\ndomain .corp.local\n";
    let found = Upstreams::from_resolv_conf(text).unwrap();
    assert_eq!(found.search(), ["corp.local"]);
}

#[test]
fn ndots_is_read_and_defaults_to_one() {
    let ndots = |text| Upstreams::from_resolv_conf(text).unwrap().ndots();
    assert_eq!(ndots("nameserver 192.0.2.1\noptions edns0 ndots:5 trust-ad"), 5);
    assert_eq!(ndots("nameserver 192.0.2.1\noptions ndots:many"), 1);
}

#[test]
fn a_bad_address_is_named_with_its_line() {
    assert_eq!(
        Upstreams::from_resolv_conf("search x\nnameserver dns.example.com"),
        Err(UpstreamsError::BadAddress { line: 2, text: "dns.example.com".to_owned() })
    );
}

#[test]
fn nobody_to_ask_is_an_error() {
    assert_eq!(Upstreams::from_resolv_conf("search corp.local"), Err(UpstreamsError::Empty));
    assert_eq!(Upstreams::from_addrs(&[]), Err(UpstreamsError::Empty));
}
