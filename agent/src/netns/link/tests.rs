//! Messages as the kernel writes them, and as it would not.

use proptest::prelude::*;

use super::*;

const VETH: [u8; 16] = [0, 0, 1, 0, 7, 0, 0, 0, 0x43, 0x10, 1, 0, 0, 0, 0, 0];

fn payload(header: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for (kind, value) in attributes {
        bytes.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn message(payload: &[u8]) -> Message<'_> {
    Message { kind: 16, flags: 0, sequence: 1, payload }
}

fn address(header: [u8; 8], attributes: &[(u16, &[u8])]) -> Result<Option<Address>, Malformed> {
    read_address(&message(&payload(&header, attributes)))
}

#[test]
fn a_veth_tells_its_peer_and_where_that_is() {
    let kind = payload(&[], &[(IFLA_INFO_KIND, b"veth\0")]);
    let bytes = payload(
        &VETH,
        &[
            (IFLA_IFNAME, b"eth0\0"),
            (IFLA_LINK, &9_u32.to_ne_bytes()),
            (IFLA_LINK_NETNSID, &3_i32.to_ne_bytes()),
            (IFLA_MASTER, &5_u32.to_ne_bytes()),
            // Nested, which newer kernels say by a bit of the type.
            (IFLA_LINKINFO | 0x8000, &kind),
            (999, b"of a later kernel"),
        ],
    );
    let expected = Link {
        index: 7,
        name: "eth0".to_owned(),
        is_loopback: false,
        kind: Some("veth".to_owned()),
        lower: Some(9),
        lower_namespace: Some(3),
        master: Some(5),
    };
    assert_eq!(read_link(&message(&bytes)), Ok(expected));
}

#[test]
fn loopback_is_known_by_its_flag() {
    let mut header = VETH;
    header[8] |= 0x8;
    assert!(read_link(&message(&header)).unwrap().is_loopback);
    assert!(!read_link(&message(&VETH)).unwrap().is_loopback);
}

#[test]
fn a_number_of_another_length_is_refused() {
    for value in [&[][..], &[1, 2, 3], &[0; 8]] {
        for kind in [IFLA_LINK, IFLA_LINK_NETNSID, IFLA_MASTER] {
            let bytes = payload(&VETH, &[(kind, value)]);
            assert_eq!(read_link(&message(&bytes)), Err(Malformed), "{kind} {value:?}");
        }
    }
    assert_eq!(read_link(&message(&VETH[..15])), Err(Malformed));
}

#[test]
fn a_point_to_point_address_has_two_ends() {
    let header = [2, 32, 0x80, 0, 4, 0, 0, 0];
    let found = address(header, &[(IFA_ADDRESS, &[10, 0, 0, 2]), (IFA_LOCAL, &[10, 0, 0, 1])]);
    let found = found.unwrap().unwrap();
    assert_eq!((found.local, found.network), ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
    assert_eq!((found.index, found.prefix, found.flags), (4, 32, 0x80));
}

#[test]
fn the_long_flags_replace_the_short_ones() {
    let header = [10, 64, 0x80, 253, 4, 0, 0, 0];
    let flags = 0x308_u32.to_ne_bytes();
    let found = address(header, &[(IFA_ADDRESS, &[0xfe; 16]), (IFA_FLAGS, &flags)]);
    let found = found.unwrap().unwrap();
    assert_eq!((found.flags, found.scope), (0x308, 253));
    assert_eq!(found.local, found.network);
}

#[test]
fn addresses_of_the_wrong_length_are_refused_and_other_families_passed_over() {
    let v4 = [2, 24, 0, 0, 4, 0, 0, 0];
    assert_eq!(address(v4, &[(IFA_ADDRESS, &[10, 0, 0])]), Err(Malformed));
    assert_eq!(address(v4, &[(IFA_ADDRESS, &[0; 16])]), Err(Malformed));
    assert_eq!(address(v4, &[]), Ok(None));
    assert_eq!(address([16, 24, 0, 0, 4, 0, 0, 0], &[(IFA_ADDRESS, &[1; 3])]), Ok(None));
}

#[test]
fn a_namespace_that_was_never_met_has_no_id() {
    let id = |value: i32| {
        read_namespace_id(&message(&payload(&[0; 4], &[(NETNSA_NSID, &value.to_ne_bytes())])))
    };
    assert_eq!((id(-1), id(0), id(7)), (Ok(None), Ok(Some(0)), Ok(Some(7))));
}

#[test]
fn this_machine_can_be_read() {
    let mut socket = Socket::route().unwrap();
    let all = links(&mut socket).unwrap();
    assert!(all.iter().any(|one| one.is_loopback && one.name == "lo"));
    assert!(addresses(&mut socket).unwrap().iter().any(|one| one.local.is_loopback()));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_link(&message(&bytes)).ok();
        read_address(&message(&bytes)).ok();
        read_namespace_id(&message(&bytes)).ok();
    }
}
