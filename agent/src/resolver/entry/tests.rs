//! Wire form of kept answers.

use super::*;

const OWNER: &[u8] = &[0xc0, 12];

#[test]
fn records_after_an_alias_belong_to_its_target() {
    let mut builder = EntryBuilder::new(3, 0, Instant::now());
    builder.cname(b"\x01b\x00").unwrap();
    builder.address("192.0.2.1".parse().unwrap()).unwrap();
    let entry = builder.finish(Duration::from_secs(5));
    let mut out = Vec::new();
    assert_eq!(entry.write(&mut out, 0x0102_0304, |_| true), 2);
    let ttl = [1, 2, 3, 4];
    // Header 12, name 3, type and class 4, then the alias's fixed part 12.
    let target = [0xc0, 12 + 3 + 4 + 12];
    let expected = [
        OWNER,
        &[0, 5, 0, 1],
        &ttl,
        &[0, 3],
        b"\x01b\x00",
        &target,
        &[0, 1, 0, 1],
        &ttl,
        &[0, 4, 192, 0, 2, 1],
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn addresses_can_be_left_out_and_aliases_cannot() {
    let mut builder = EntryBuilder::new(3, 0, Instant::now());
    builder.cname(b"\x01b\x00").unwrap();
    for last in 1..=3 {
        builder.address(IpAddr::from([192, 0, 2, last])).unwrap();
    }
    let entry = builder.finish(Duration::ZERO);
    let mut out = Vec::new();
    assert_eq!(entry.write(&mut out, 0, |index| index == 1), 2);
    assert!(out.ends_with(&[192, 0, 2, 2]));
    assert_eq!(out.len(), 15 + 16);
    let mut out = Vec::new();
    assert_eq!(entry.write(&mut out, 0, |_| false), 1);
}

#[test]
fn the_worst_address_sets_the_exposure() {
    let mut builder = EntryBuilder::new(3, 0, Instant::now());
    for (address, expected) in [
        ("192.0.2.1", Exposure::Public),
        ("10.0.0.1", Exposure::Private),
        ("192.0.2.2", Exposure::Private),
        ("127.0.0.1", Exposure::Never),
    ] {
        builder.address(address.parse().unwrap()).unwrap();
        assert_eq!(builder.entry.exposure, expected);
    }
}

#[test]
fn a_full_answer_takes_no_more() {
    let mut builder = EntryBuilder::new(255, 0, Instant::now());
    assert_eq!(builder.record(16, &vec![0; MAX_BODY - 12]), Ok(()));
    assert_eq!(builder.record(16, &[]), Err(BodyFull));
    let mut builder = EntryBuilder::new(255, 0, Instant::now());
    builder.record(16, &vec![0; 0x4000]).unwrap();
    assert_eq!(builder.cname(b"\x01b\x00"), Err(BodyFull), "out of a pointer's reach");
}
