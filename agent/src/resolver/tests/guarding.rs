//! DNS rebinding: addresses that an allowed name must not lead to.

use hickory_proto::op::ResponseCode;
use weir_ebpf::reason::Reason;

use super::super::testing::*;
use crate::policy::Mode;

async fn ask_for(owner: &str, rtype: &str, data: &[&str]) -> (Lab, hickory_proto::op::Message) {
    let records = data.iter().map(|data| record(owner, 300, rtype, data)).collect();
    let lab = LabBuilder::answering(records).start();
    let answer = lab.ask(owner, rtype).await;
    (lab, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_nothing_but_private_addresses_is_refused() {
    for (rtype, address) in [
        ("A", "10.0.0.1"),
        ("A", "127.0.0.1"),
        ("A", "169.254.169.254"),
        ("A", "0.0.0.0"),
        ("AAAA", "::1"),
        ("AAAA", "fd00::1"),
        ("AAAA", "::ffff:10.0.0.1"),
        ("AAAA", "64:ff9b::a9fe:a9fe"),
    ] {
        let (lab, answer) = ask_for("registry.example.com.", rtype, &[address]).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{address}");
        assert!(answer.answers.is_empty(), "{address}");
        assert_eq!(extended_error(&answer).unwrap().0, 17);
        let [seen] = &lab.pod.refusals()[..] else { panic!("{address}") };
        assert_eq!((seen.reason, seen.verdict), (Reason::PrivateAnswer, Mode::Block));
        assert_eq!(seen.answer, Some(ip(address)));
        assert!(lab.pod.admitted.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_mixed_answer_only_the_public_part_is_told_and_admitted() {
    let data = ["10.0.0.1", "192.0.2.1", "127.0.0.1", "192.0.2.2"];
    let (lab, answer) = ask_for("registry.example.com.", "A", &data).await;
    let public = [ip("192.0.2.1"), ip("192.0.2.2")];
    assert_eq!(addresses(&answer), public);
    assert_eq!(lab.pod.admitted_addresses(), public);
    assert_eq!(lab.pod.refusals().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_can_open_private_addresses() {
    let (lab, answer) = ask_for("inside.example.com.", "A", &["10.0.0.1"]).await;
    assert_eq!(addresses(&answer), [ip("10.0.0.1")]);
    assert_eq!(lab.pod.admitted_addresses(), [ip("10.0.0.1")]);
    assert_eq!(lab.pod.refusals(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_opens_loopback_and_metadata() {
    for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"] {
        let (lab, answer) = ask_for("inside.example.com.", "A", &[address]).await;
        assert!(answer.answers.is_empty(), "{address}");
        assert_eq!(lab.pod.refusals().len(), 1);
        assert!(lab.pod.admitted.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_pod_may_see_is_not_what_another_sees() {
    let lab = LabBuilder::answering(vec![record("inside.example.com.", 300, "A", "10.0.0.1")]);
    let lab = lab.start();
    assert_eq!(addresses(&lab.ask("inside.example.com.", "A").await), [ip("10.0.0.1")]);
    let guarded = PROFILE.replace("private: true", "private: false");
    let (pod, address, _server) = lab.neighbour(&guarded);
    let answer = ask(address, &question("inside.example.com.", "A")).await;
    assert!(answer.answers.is_empty());
    assert_eq!(pod.refusals().len(), 1);
    assert_eq!(lab.asked_upstream().len(), 1);
}
