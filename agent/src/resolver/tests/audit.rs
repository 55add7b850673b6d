//! Audit mode: everything passes, everything is recorded, nothing that is refused is admitted.

use hickory_proto::op::ResponseCode;
use weir_ebpf::reason::Reason;

use super::super::testing::*;
use crate::policy::Mode;

fn lab() -> LabBuilder {
    LabBuilder::new(|via| {
        let message = if via.name().contains("nowhere") {
            with_soa(no_such_name(&via.query), 60, 60)
        } else {
            answer_to(&via.query, vec![record(&via.name(), 300, "A", "192.0.2.7")])
        };
        vec![message.to_vec().unwrap()]
    })
    .audit()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_name_passes_and_is_observed_not_admitted() {
    let lab = lab().start();
    for _cached in [false, true] {
        let answer = lab.ask("evil.example.net.", "A").await;
        assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
    }
    assert!(lab.pod.admitted.lock().unwrap().is_empty());
    assert_eq!(
        lab.pod.observed.lock().unwrap()[0],
        ("evil.example.net".to_owned(), vec![ip("192.0.2.7")])
    );
    let refusals = lab.pod.refusals();
    assert_eq!(refusals.len(), 2, "one for each question");
    assert_eq!(refusals[0].verdict, Mode::Audit);
    assert_eq!(refusals[0].reason, Reason::DomainNotInAllowlist);
    assert_eq!(lab.asked_upstream(), ["evil.example.net."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_names_are_admitted_as_ever() {
    let lab = lab().start();
    lab.ask("registry.example.com.", "A").await;
    assert_eq!(lab.pod.admitted_addresses(), [ip("192.0.2.7")]);
    assert_eq!(lab.pod.refusals(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_beyond_the_budget_passes_and_is_recorded() {
    let lab = lab().start();
    for label in ["a", "b", "c", "d"] {
        let answer = lab.ask(&format!("{label}.cdn.example.com."), "A").await;
        assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
    }
    let [seen] = &lab.pod.refusals()[..] else { panic!() };
    assert_eq!((seen.reason, seen.verdict), (Reason::NamesBudget, Mode::Audit));
    assert_eq!(lab.pod.admitted.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expansion_that_exists_is_what_was_meant() {
    let mut builder = lab();
    builder.search = vec!["ci.example.net"];
    let lab = builder.start();
    let answer = lab.ask("nexus.ci.example.net.", "A").await;
    assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
    let answer = lab.ask("nowhere.ci.example.net.", "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let names: Vec<_> = lab.pod.refusals().into_iter().map(|seen| seen.name).collect();
    assert_eq!(names, ["nexus.ci.example.net"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_answer_passes_and_is_recorded() {
    let records = vec![
        record("registry.example.com.", 300, "A", "192.0.2.7"),
        record("registry.example.com.", 300, "A", "10.0.0.1"),
    ];
    let lab = LabBuilder::answering(records).audit().start();
    let answer = lab.ask("registry.example.com.", "A").await;
    assert_eq!(addresses(&answer), [ip("192.0.2.7"), ip("10.0.0.1")]);
    assert_eq!(lab.pod.admitted_addresses(), [ip("192.0.2.7")]);
    assert_eq!(lab.pod.observed.lock().unwrap()[0].1, [ip("10.0.0.1")]);
    let [seen] = &lab.pod.refusals()[..] else { panic!() };
    assert_eq!((seen.reason, seen.verdict), (Reason::PrivateAnswer, Mode::Audit));
}
