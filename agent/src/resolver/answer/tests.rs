//! Answers as hostile servers make them.

use hickory_proto::op::{Message, MessageType, OpCode};
use proptest::prelude::*;

use super::super::testing::{name, record};
use super::*;
use hickory_proto::op::Query;

const LIMITS: Lifetimes =
    Lifetimes { max_ttl: Duration::from_secs(86_400), max_negative_ttl: Duration::from_secs(300) };
const NAME: &str = "a.example.com.";
const WIRE: &[u8] = b"\x01a\x07example\x03com\x00";

fn message(records: Vec<Record>) -> Message {
    let mut message = Message::new(1, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(name(NAME), RecordType::A));
    message.answers = records;
    message
}

fn judge(message: &Message, qtype: RecordType) -> Result<Entry, AnswerError> {
    check(&message.to_vec().unwrap(), WIRE, qtype.into(), LIMITS, Instant::now())
}

/// The addresses and the lifetime in seconds that are believed of these records.
fn believed_of(records: Vec<Record>) -> Result<(Vec<String>, u64), AnswerError> {
    let now = Instant::now();
    let bytes = message(records).to_vec().unwrap();
    let entry = check(&bytes, WIRE, RecordType::A.into(), LIMITS, now)?;
    let lifetime = entry.expires(Duration::MAX).duration_since(now).as_secs();
    Ok((entry.addresses().iter().map(ToString::to_string).collect(), lifetime))
}

fn links(count: usize) -> Vec<Record> {
    let mut owner = NAME.to_owned();
    let mut records = Vec::new();
    for index in 0..count {
        let target = format!("l{index}.example.net.");
        records.push(record(&owner, 300, "CNAME", &target));
        owner = target;
    }
    records.push(record(&owner, 300, "A", "192.0.2.1"));
    records
}

#[test]
fn a_chain_is_followed_to_its_bound() {
    assert_eq!(believed_of(links(MAX_CHAIN)).unwrap().0, ["192.0.2.1"]);
    assert!(matches!(believed_of(links(MAX_CHAIN + 1)), Err(AnswerError::BrokenChain)));
}

#[test]
fn a_chain_in_any_order_and_case_is_followed() {
    let mut records = links(5);
    records.reverse();
    assert_eq!(believed_of(records).unwrap().0, ["192.0.2.1"]);
    let records = vec![
        record("A.EXAMPLE.com.", 300, "CNAME", "B.example.com."),
        record("b.EXAMPLE.com.", 300, "A", "192.0.2.1"),
    ];
    assert_eq!(believed_of(records).unwrap().0, ["192.0.2.1"]);
}

#[test]
fn loops_are_broken() {
    for targets in [&[NAME][..], &["b.", NAME], &["b.", "c.", "b."]] {
        let mut owner = NAME;
        let mut records = Vec::new();
        for target in targets {
            records.push(record(owner, 300, "CNAME", target));
            owner = target;
        }
        assert!(matches!(believed_of(records), Err(AnswerError::BrokenChain)), "{targets:?}");
    }
}

#[test]
fn two_aliases_of_one_name_are_one_too_many() {
    let twice = vec![
        record(NAME, 300, "CNAME", "b.example.com."),
        record(NAME, 300, "CNAME", "c.example.com."),
        record("b.example.com.", 300, "A", "192.0.2.1"),
    ];
    assert!(matches!(believed_of(twice), Err(AnswerError::BrokenChain)));
}

#[test]
fn addresses_off_the_chain_are_dropped() {
    let records = vec![
        record("b.example.com.", 300, "A", "192.0.2.66"),
        record("example.com.", 300, "A", "192.0.2.67"),
        record("x.a.example.com.", 300, "A", "192.0.2.68"),
        record(NAME, 300, "A", "192.0.2.1"),
        record(NAME, 300, "A", "192.0.2.1"),
    ];
    assert_eq!(believed_of(records).unwrap(), (vec!["192.0.2.1".to_owned()], 300));
}

#[test]
fn records_of_another_class_are_dropped() {
    let mut chaos = record(NAME, 300, "A", "192.0.2.66");
    chaos.dns_class = DNSClass::CH;
    assert_eq!(believed_of(vec![chaos]).unwrap().0, [""; 0]);
}

#[test]
fn the_shortest_lifetime_of_the_chain_holds() {
    let records = vec![
        record(NAME, 20, "CNAME", "b.example.com."),
        record("b.example.com.", 300, "A", "192.0.2.1"),
        record("b.example.com.", 200, "A", "192.0.2.2"),
    ];
    assert_eq!(believed_of(records).unwrap().1, 20);
    let records = vec![record(NAME, 1 << 30, "A", "192.0.2.1")];
    assert_eq!(believed_of(records).unwrap().1, 86_400);
}

#[test]
fn only_a_zone_the_name_is_in_can_deny_it() {
    for (zone, expected) in [
        ("com.", 60),
        (".", 60),
        (NAME, 60),
        ("net.", 0),
        ("b.a.example.com.", 0),
        ("ample.com.", 0),
    ] {
        let mut denied = message(Vec::new());
        denied.metadata.response_code = ResponseCode::NXDomain;
        let data = "ns.example.com. admin.example.com. 1 3600 600 86400 60";
        denied.authorities.push(record(zone, 900, "SOA", data));
        let now = Instant::now();
        let entry = check(&denied.to_vec().unwrap(), WIRE, 1, LIMITS, now).unwrap();
        let lifetime = entry.expires(Duration::MAX).duration_since(now).as_secs();
        assert_eq!(lifetime, expected, "{zone}");
    }
}

#[test]
fn a_denial_with_records_contradicts_itself() {
    let mut both = message(vec![record(NAME, 300, "A", "192.0.2.1")]);
    both.metadata.response_code = ResponseCode::NXDomain;
    assert!(matches!(judge(&both, RecordType::A), Err(AnswerError::Contradiction)));
}

#[test]
fn names_in_data_are_written_in_full() {
    let soa = record(NAME, 300, "SOA", "ns.example.com. admin.example.com. 1 2 3 4 5");
    let entry = judge(&message(vec![soa]), RecordType::SOA).unwrap();
    let mut out = Vec::new();
    assert_eq!(entry.write(&mut out, 7, |_| true), 1);
    let data = &out[12..];
    assert!(data.starts_with(b"\x02ns\x07example\x03com\x00\x05admin\x07example\x03com\x00"));
    assert_eq!(&out[6..10], &[0, 0, 0, 7]);
}

fn any_record() -> impl Strategy<Value = Record> {
    let names = prop::sample::select(vec![NAME, "b.example.com.", "c.example.net.", "."]);
    let data = prop::sample::select(vec![
        ("A", "192.0.2.1"),
        ("A", "10.0.0.1"),
        ("AAAA", "2001:db8::1"),
        ("CNAME", NAME),
        ("CNAME", "b.example.com."),
        ("CNAME", "c.example.net."),
        ("TXT", "text"),
    ]);
    (names, data, any::<u32>())
        .prop_map(|(owner, (rtype, data), ttl)| record(owner, ttl, rtype, data))
}

proptest! {
    /// Whatever upstream sends is judged without a panic.
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(check(&bytes, WIRE, 1, LIMITS, Instant::now()));
    }

    /// Every address believed is one that a naive walk along the aliases reaches.
    #[test]
    fn what_is_believed_is_reachable(records in prop::collection::vec(any_record(), 0..8)) {
        let message = message(records.clone());
        if let Ok(entry) = judge(&message, RecordType::A) {
            let mut reachable = vec![name(NAME)];
            for _ in 0..records.len() {
                for record in &records {
                    if let RData::CNAME(target) = &record.data
                        && reachable.contains(&record.name)
                    {
                        reachable.push(target.0.clone());
                    }
                }
            }
            for address in entry.addresses() {
                let found = records.iter().any(|record| {
                    reachable.contains(&record.name) && record.data.ip_addr() == Some(*address)
                });
                prop_assert!(found, "reached by no alias");
            }
        }
    }
}
