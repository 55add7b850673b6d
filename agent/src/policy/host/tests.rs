//! What is a host name, for people and on the wire.

use proptest::prelude::*;

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "the cases read better without a reference")]
fn check(text: &str, expected: Result<&str, NameError>) {
    assert_eq!(
        HostName::parse(text).as_ref().map(HostName::as_str),
        expected.as_ref().copied(),
        "{text:?}"
    );
}

fn check_wire(labels: &[&[u8]], expected: Option<&str>) {
    let name = HostName::from_wire_labels(labels.iter().copied());
    assert_eq!(name.as_ref().map(HostName::as_str), expected, "{labels:?}");
}

#[test]
fn typed_names_are_folded_and_lose_the_root_dot() {
    check("registry.example.com", Ok("registry.example.com"));
    check("Registry.EXAMPLE.com.", Ok("registry.example.com"));
    check("localhost", Ok("localhost"));
    check("_srv._tcp.example.com", Ok("_srv._tcp.example.com"));
    check("-a-.example.com", Ok("-a-.example.com"));
    check("0.example.com", Ok("0.example.com"));
}

#[test]
fn typed_names_are_mapped_by_uts_46() {
    check("bücher.example.com", Ok("xn--bcher-kva.example.com"));
    check("BÜCHER.example.com", Ok("xn--bcher-kva.example.com"));
    check("xn--bcher-kva.example.com", Ok("xn--bcher-kva.example.com"));
    check("XN--BCHER-KVA.example.com", Ok("xn--bcher-kva.example.com"));
    check("registry。example。com", Ok("registry.example.com"));
    check("ｒegistry.example.com", Ok("registry.example.com"));
    check("xn--a.example.com", Err(NameError::Idna));
    check("xn--\u{fc}.example.com", Err(NameError::Idna));
}

#[test]
fn what_is_no_name_is_refused_with_the_cause() {
    check("", Err(NameError::Empty));
    check(".", Err(NameError::Empty));
    check("a..b", Err(NameError::EmptyLabel));
    check(".a", Err(NameError::EmptyLabel));
    check("a..", Err(NameError::EmptyLabel));
    check("a b", Err(NameError::Character(' ')));
    check("a\0b", Err(NameError::Character('\0')));
    check("a/b", Err(NameError::Character('/')));
    check("a:443", Err(NameError::Character(':')));
    check("a\n", Err(NameError::Character('\n')));
    check("*.example.com", Err(NameError::Wildcard));
    check("192.0.2.7", Err(NameError::Address));
    check("1", Err(NameError::Address));
    check("example.123", Err(NameError::Address));
}

#[test]
fn the_lengths_of_rfc_1035_are_the_bounds() {
    check(&"a".repeat(63), Ok(&"a".repeat(63)));
    check(&"a".repeat(64), Err(NameError::LabelTooLong(64)));
    let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    assert_eq!(long.len(), 253);
    check(&long, Ok(&long));
    check(&format!("{long}."), Ok(&long));
    check(&format!("{long}b"), Err(NameError::TooLong(254)));
    check(&"a".repeat(100_000), Err(NameError::TooLong(100_000)));
}

#[test]
fn wire_labels_are_folded_and_nothing_else() {
    check_wire(&[b"Registry", b"EXAMPLE", b"com"], Some("registry.example.com"));
    check_wire(&[b"_dns", b"a-b", b"1"], Some("_dns.a-b.1"));
    check_wire(&[], None);
    check_wire(&[b"a", b""], None);
    check_wire(&[b"a.b", b"com"], None);
    check_wire(&[b"a\0", b"com"], None);
    check_wire(&[b"a b"], None);
    check_wire(&[b"*", b"example", b"com"], None);
    check_wire(&["bücher".as_bytes(), b"com"], None);
    check_wire(&[&[b'a'; 64]], None);
    check_wire(&[b"abc".as_slice(); 63], Some(&["abc"; 63].join(".")));
    check_wire(&[b"abc".as_slice(); 64], None);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_is_idempotent(text in "\\PC{0,80}|[a-zA-Z0-9._*-]{0,80}|.{0,20}") {
        if let Ok(name) = HostName::parse(&text) {
            prop_assert_eq!(HostName::parse(name.as_str()), Ok(name.clone()));
            let labels = name.as_str().split('.').map(str::as_bytes);
            prop_assert_eq!(HostName::from_wire_labels(labels), Some(name));
        }
    }

    #[test]
    fn a_wire_name_keeps_the_invariant(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..8)) {
        let name = HostName::from_wire_labels(labels.iter().map(Vec::as_slice));
        if let Some(name) = name {
            prop_assert!(name.as_str().len() <= MAX_NAME_BYTES);
            prop_assert!(name.as_str().bytes().all(|byte| is_host_byte(byte) || byte == b'.'));
            prop_assert_eq!(name.as_str().split('.').count(), labels.len());
        }
    }
}
