//! The parser against hostile bytes, and against the library's own encoder.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::Name;
use proptest::prelude::*;

use super::*;

fn message(labels: &[Vec<u8>], qtype: u16, edns: Option<(u16, bool)>) -> Vec<u8> {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, qtype.into()));
    if let Some((payload, dnssec_ok)) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=63), 1..=3)
}

proptest! {
    /// Nothing that arrives makes it panic, and what it takes is within bounds.
    #[test]
    fn any_bytes_are_parsed_or_not(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert!(request.name().len() <= MAX_NAME_LEN);
            prop_assert_eq!(request.key().len(), request.name().len() + 2);
        }
    }

    /// Likewise with a header that leads further in.
    #[test]
    fn any_question_is_parsed_or_not(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        additionals in 0_u8..3,
    ) {
        let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, additionals];
        message.extend(bytes);
        drop(Request::parse(&message));
    }

    /// A well-formed question is read as it was meant, whatever bytes its labels hold.
    #[test]
    fn well_formed_questions_are_read(
        labels in labels(),
        qtype in 1_u16..249,
        edns in prop::option::of((512_u16.., any::<bool>())),
    ) {
        prop_assume!(qtype != rtype::OPT);
        let Ok(request) = Request::parse(&message(&labels, qtype, edns)) else {
            return Err(TestCaseError::fail("not read"));
        };
        let lower: Vec<_> = labels.iter().map(|label| label.to_ascii_lowercase()).collect();
        prop_assert_eq!(request.labels().collect::<Vec<_>>(), lower);
        prop_assert_eq!(request.qtype, qtype);
        prop_assert_eq!(request.id, 77);
        let seen = request.edns.map(|edns| (edns.payload, edns.dnssec_ok));
        prop_assert_eq!(seen, edns);
    }

    /// A message cut short is never read as a whole one.
    #[test]
    fn no_prefix_is_a_question(labels in labels(), cut in any::<prop::sample::Index>()) {
        let whole = message(&labels, 1, Some((1232, false)));
        let cut = cut.index(whole.len());
        prop_assert!(Request::parse(&whole[..cut]).is_err());
    }

    /// The presentation form is one line of printable ASCII and tells any two names apart.
    #[test]
    fn presentation_is_printable_and_unambiguous(one in labels(), other in labels()) {
        let show = |labels: &[Vec<u8>]| presentation(labels.iter().map(Vec::as_slice));
        prop_assert!(show(&one).bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(show(&one) == show(&other), one == other);
    }
}

/// Header of a query with one question, then `rest`.
fn parse(rest: &[u8]) -> Result<Request, Odd> {
    Request::parse(&[&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], rest].concat())
}

fn is_format_error<T>(parsed: &Result<T, Odd>) -> bool {
    matches!(parsed, Err(Odd::Answer { rcode: rcode::FORMAT_ERROR, .. }))
}

#[test]
fn the_longest_name_is_read_and_a_longer_one_is_not() {
    let label = |len: u8| [vec![len], vec![b'x'; len.into()]].concat();
    let name = |last: u8| {
        let mut name = [label(63), label(63), label(63), label(last)].concat();
        name.extend([0, 0, 1, 0, 1]);
        name
    };
    let longest = parse(&name(61));
    assert_eq!(longest.map(|request| request.name().len()).ok(), Some(255));
    assert!(is_format_error(&parse(&name(62))));
}

#[test]
fn the_root_is_a_name() {
    let request = parse(&[0, 0, 2, 0, 1]).ok().unwrap();
    assert_eq!(request.labels().count(), 0);
    assert_eq!(presentation(request.labels()), ".");
}

#[test]
fn obsolete_label_types_are_a_format_error() {
    for len in [0x40, 0x41, 0x80, 0xbf, 0xc0, 0xff] {
        assert!(is_format_error(&parse(&[len, 0, 0, 0, 1, 0, 1])), "{len:#x}");
        // Also where as many bytes follow as the length would say.
        let label = [vec![len], vec![b'x'; len.into()], vec![0, 0, 1, 0, 1]].concat();
        assert!(is_format_error(&parse(&label)), "{len:#x}");
    }
}

#[test]
fn meta_types_are_no_questions() {
    for (qtype, expected) in [
        (0, rcode::FORMAT_ERROR),
        (41, rcode::FORMAT_ERROR),
        (249, rcode::REFUSED),
        (251, rcode::REFUSED),
        (252, rcode::REFUSED),
        (254, rcode::REFUSED),
    ] {
        let parsed = parse(&[0, 0, qtype, 0, 1]);
        assert!(matches!(parsed, Err(Odd::Answer { rcode, .. }) if rcode == expected), "{qtype}");
    }
}
