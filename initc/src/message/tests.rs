//! Answers as servers write them, and as enemies do.

use super::{Question, Reply};
use crate::random::{Nonce, Random};

const ID: u16 = 0xbeef;

fn question() -> Question {
    Question::new(&Nonce::new([0xab; 16]))
}

/// Header, question and `rest`.
fn answer(flags: u16, answers: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    for field in [ID, flags, 1, answers, 0, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(&question().wire);
    packet.extend(rest);
    packet
}

/// A TXT record owned by what `owner` encodes, holding `data`.
fn record(owner: &[u8], data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend([0, 16, 0, 1, 0, 0, 0, 0]);
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

/// A pointer to the question's name.
const ASKED: [u8; 2] = [0xc0, 12];
const UNUSABLE: Reply = Reply::Unusable("a record that is not its text");

#[expect(clippy::needless_pass_by_value, reason = "cases read better without a borrow")]
fn check(packet: &[u8], expected: Option<Reply>) {
    assert_eq!(question().reply(ID, packet), expected, "{packet:02x?}");
}

#[test]
fn the_query_is_one_txt_question() {
    let query = question().query(ID);
    assert_eq!(query[..12], [0xbe, 0xef, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let mut name = vec![32];
    name.extend(b"ab".repeat(16));
    name.extend(b"\x06attach\x04weir\x08internal\x00\x00\x10\x00\x01");
    assert_eq!(query[12..], name);
}

#[test]
fn strings_are_read() {
    let text = Reply::Text(vec![b"weir=1".to_vec(), Vec::new(), b"x".to_vec()]);
    let packet = answer(0x8580, 1, &record(&ASKED, b"\x06weir=1\x00\x01x"));
    check(&packet, Some(text.clone()));
    let whole = &question().wire[..question().wire.len() - 4];
    check(&answer(0x8180, 1, &record(whole, b"\x06weir=1\x00\x01x")), Some(text));
}

#[test]
fn names_compare_without_case() {
    let mut packet = answer(0x8180, 1, &record(&ASKED, b"\x01x"));
    packet.make_ascii_uppercase();
    // The id's bytes may look like letters.
    packet[..2].copy_from_slice(&ID.to_be_bytes());
    check(&packet, Some(Reply::Text(vec![b"X".to_vec()])));
}

#[test]
fn refusals_name_their_code() {
    check(&answer(0x8183, 0, &[]), Some(Reply::Code(3)));
    check(&answer(0x8185, 1, &record(&ASKED, b"\x01x")), Some(Reply::Code(5)));
    check(&[0xbe, 0xef, 0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0], Some(Reply::Code(5)));
}

#[test]
fn another_answer_is_not_ours() {
    let good = answer(0x8180, 1, &record(&ASKED, b"\x01x"));
    assert!(question().reply(ID, &good).is_some());
    assert_eq!(question().reply(ID ^ 1, &good), None, "another id");
    let other = Question::new(&Nonce::new([0xac; 16]));
    assert_eq!(other.reply(ID, &good), None, "another name");
    check(&answer(0x0100, 1, &record(&ASKED, b"\x01x")), None);
    check(&answer(0xa180, 1, &record(&ASKED, b"\x01x")), None);
    let mut address = good.clone();
    let kind = 12 + question().wire.len() - 3;
    address[kind] = 1;
    check(&address, None);
    let mut twice = good;
    twice[5] = 2;
    check(&twice, None);
    check(&[0xbe, 0xef, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0], None);
}

#[test]
fn an_answer_is_whole_and_one_record() {
    check(
        &answer(0x8380, 1, &record(&ASKED, b"\x01x")),
        Some(Reply::Unusable("a truncated answer")),
    );
    for (count, records) in [(0, 0), (2, 2)] {
        let rest = record(&ASKED, b"\x01x").repeat(records);
        let expected = Reply::Unusable("an answer that is not one record");
        check(&answer(0x8180, count, &rest), Some(expected));
    }
}

#[test]
fn records_of_others_are_unusable() {
    check(&answer(0x8180, 1, &record(b"\x01a\x00", b"\x01x")), Some(UNUSABLE));
    check(&answer(0x8180, 1, &record(&[0xc0, 12 + 33], b"\x01x")), Some(UNUSABLE));
    let mut address = record(&ASKED, b"\x01x");
    address[3] = 1;
    check(&answer(0x8180, 1, &address), Some(UNUSABLE));
}

#[test]
fn lengths_that_lie_are_unusable() {
    check(&answer(0x8180, 1, &record(&ASKED, b"\x02x")), Some(UNUSABLE));
    let mut long = record(&ASKED, b"\x01x");
    long[11] = 200;
    check(&answer(0x8180, 1, &long), Some(UNUSABLE));
}

#[test]
fn names_that_lead_nowhere_are_unusable() {
    let own = u8::try_from(12 + question().wire.len()).unwrap();
    // To itself, forwards, past the end; a reserved length; endless labels.
    for owner in [
        vec![0xc0, own],
        vec![0xc0, own + 1],
        vec![0xff, 0xff],
        vec![1, b'a', 0xc0, own],
        vec![0x40, 0],
        [[63].as_slice(), &[b'a'; 63]].concat().repeat(9),
    ] {
        check(&answer(0x8180, 1, &record(&owner, b"\x01x")), Some(UNUSABLE));
    }
}

#[test]
fn a_cut_packet_is_never_text() {
    let packet = answer(0x8180, 1, &record(&ASKED, b"\x06weir=1\x01x"));
    for end in 0..packet.len() {
        let reply = question().reply(ID, &packet[..end]);
        assert!(!matches!(reply, Some(Reply::Text(_))), "{end} bytes gave {reply:?}");
    }
}

#[test]
fn noise_is_survived() {
    let mut random = Random::open().unwrap();
    let good = answer(0x8180, 1, &record(&ASKED, b"\x06weir=1\x01x"));
    for _ in 0..20_000 {
        let [at, value, more_at, more] = random.bytes().unwrap();
        let mut packet = good.clone();
        let length = packet.len();
        packet[usize::from(at) % length] = value;
        packet[usize::from(more_at) % length] = more;
        question().reply(ID, &packet);
    }
    for _ in 0..2000 {
        let mut packet = random.bytes::<300>().unwrap();
        packet[..8].copy_from_slice(&good[..8]);
        question().reply(ID, &packet);
    }
}
