//! Where the page is, and how a request is told from a question.

use weir_ebpf::{address::Address, pod};

use super::*;

#[test]
fn the_name_leads_where_the_hook_looks() {
    assert_eq!(Address::from(IpAddr::V4(V4)), pod::PAGE_V4);
    assert_eq!(Address::from(IpAddr::V6(V6)), pod::PAGE_V6);
}

#[test]
fn no_question_begins_like_a_request() {
    for length in 0..=crate::resolver::LONGEST_MESSAGE {
        assert!(!begins_request(length.to_be_bytes()), "{length}");
    }
    for method in [b"GET", b"HEA", b"POS", b"PUT", b"PRI"] {
        assert!(begins_request([method[0], method[1]]));
    }
    assert!(!begins_request([0x16, 0x03]), "TLS");
}
