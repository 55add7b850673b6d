//! The rules in words, and what their bytes say of themselves.

use super::{plan::Chain, *};

fn capture() -> Capture {
    Capture {
        v4: Some("10.1.0.7:4053".parse().unwrap()),
        v6: Some("[2001:db8::7]:4053".parse().unwrap()),
        entrances: BTreeSet::from([4, 9]),
    }
}

fn words(capture: &Capture, chain: Chain) -> Vec<String> {
    let rules = plan(capture);
    rules.iter().filter(|rule| rule.chain == chain).map(ToString::to_string).collect()
}

const REQUESTS: [&str; 8] = [
    "loopback v4 is left alone",
    "loopback v6 is left alone",
    "udp port 53 goes to 10.1.0.7:4053",
    "tcp port 53 goes to 10.1.0.7:4053",
    "to 192.0.2.80 tcp port 80 goes to 10.1.0.7:4053",
    "udp port 53 goes to [2001:db8::7]:4053",
    "tcp port 53 goes to [2001:db8::7]:4053",
    "to 2001:db8::c000:250 tcp port 80 goes to [2001:db8::7]:4053",
];

#[test]
fn what_the_pod_sends_is_captured_but_for_loopback() {
    assert_eq!(words(&capture(), Chain::Output), REQUESTS);
}

#[test]
fn what_comes_from_outside_is_left_alone_first() {
    let mut expected = vec!["from 4 is left alone", "from 9 is left alone"];
    expected.extend(REQUESTS);
    assert_eq!(words(&capture(), Chain::Prerouting), expected);
}

#[test]
fn outsiders_do_not_reach_the_listener() {
    let only_v4 = Capture { v6: None, ..capture() };
    let expected = [
        "from 4 to 10.1.0.7 udp port 4053 is dropped",
        "from 4 to 10.1.0.7 tcp port 4053 is dropped",
        "from 9 to 10.1.0.7 udp port 4053 is dropped",
        "from 9 to 10.1.0.7 tcp port 4053 is dropped",
    ];
    assert_eq!(words(&only_v4, Chain::Input), expected);
    assert_eq!(words(&capture(), Chain::Input).len(), 8);
}

#[test]
fn every_comment_fits() {
    let long = Capture {
        v4: None,
        v6: Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap()),
        entrances: BTreeSet::from([u32::MAX]),
    };
    // NFTNL_UDATA_COMMENT_MAXLEN, with the NUL.
    assert!(plan(&long).iter().all(|rule| rule.to_string().len() < 128));
}

#[test]
fn a_batch_adds_deletes_and_adds_and_each_message_wants_an_acknowledgement() {
    let rules = plan(&capture());
    let bytes = encode::replace(&rules);
    let all: Vec<_> = messages(&bytes).collect::<Result<_, _>>().unwrap();
    let [begin, table, delete, again, rest @ .., end] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!([begin.kind, end.kind], [0x10, 0x11]);
    let message = |number: u16| 10 << 8 | number;
    assert_eq!([table.kind, delete.kind, again.kind], [message(0), message(2), message(0)]);
    assert_eq!(rest.len(), 3 + rules.len());
    let acknowledged = 4;
    assert!(all[1..all.len() - 1].iter().all(|one| one.flags & acknowledged != 0));
}

#[test]
fn a_rule_is_read_back_as_it_was_written() {
    let rules = plan(&capture());
    let bytes = encode::replace(&rules);
    let read: Vec<_> =
        messages(&bytes).filter_map(|one| read_rule(&one.unwrap()).unwrap()).collect();
    let written: Vec<_> =
        rules.iter().map(|rule| (rule.chain.name().to_owned(), rule.to_string())).collect();
    assert_eq!(read, written);
}
