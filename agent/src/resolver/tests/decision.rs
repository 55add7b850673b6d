//! What is decided on the question's name, and in which order things happen.

use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use weir_ebpf::reason::Reason;

use super::super::AdmitError;
use super::super::testing::*;
use crate::policy::Mode;

fn registry() -> LabBuilder {
    LabBuilder::answering(vec![record("registry.example.com.", 300, "A", "192.0.2.7")])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_name_is_admitted_then_told() {
    let lab = registry().start();
    let before = Instant::now();
    let answer = lab.ask("registry.example.com.", "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
    assert_eq!(lab.pod.refusals(), []);

    let admitted = lab.pod.admitted.lock().unwrap();
    let [(name, addresses, expires)] = admitted.as_slice() else { panic!("{admitted:?}") };
    assert_eq!(name, "registry.example.com");
    assert_eq!(addresses, &[ip("192.0.2.7")]);
    // Lifetime 300 s and grace 30 s.
    let lives = expires.duration_since(before).as_secs();
    assert!((329..=340).contains(&lives), "{lives}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_listed_never_reaches_upstream() {
    let lab = registry().start();
    let answer = lab.ask("c2VjcmV0.evil.example.net.", "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let (code, text) = extended_error(&answer).unwrap();
    assert_eq!(code, 15);
    assert!(text.contains("build/test"), "{text}");
    let [seen] = &lab.pod.refusals()[..] else { panic!() };
    assert_eq!(seen.name, "c2vjcmv0.evil.example.net");
    assert_eq!(seen.reason, Reason::DomainNotInAllowlist);
    assert_eq!(seen.verdict, Mode::Block);
    assert_eq!(seen.rule, None);
    assert_eq!(lab.asked_upstream(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_rule_outweighs_the_wildcard_above_it() {
    let lab = registry().start();
    let answer = lab.ask("bad.cdn.example.com.", "AAAA").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let [seen] = &lab.pod.refusals()[..] else { panic!() };
    assert!(seen.rule.is_some());
    assert_eq!(lab.asked_upstream(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_is_folded_upstream_and_kept_in_the_answer() {
    let lab = registry().start();
    for _cached in [false, true] {
        let answer = lab.ask("ReGiStRy.eXaMpLe.CoM.", "A").await;
        assert_eq!(answer.queries[0].name.to_ascii(), "ReGiStRy.eXaMpLe.CoM.");
        assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
    }
    assert_eq!(lab.asked_upstream(), ["registry.example.com."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_withholds_the_answer() {
    let lab = registry().start();
    lab.pod.admit_script.lock().unwrap().push_back(AdmitError::Full);
    let answer = lab.ask("registry.example.com.", "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(addresses(&answer).is_empty());
    // It is the pod's own limit that it met, and told as such.
    let refusals = lab.pod.refusals();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].reason, Reason::NamesBudget);
    // Nothing of the failure is kept.
    assert_eq!(addresses(&lab.ask("registry.example.com.", "A").await), [ip("192.0.2.7")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_meanwhile_decides_anew() {
    let lab = registry().start();
    let other = PROFILE.replace("registry.example.com", "other.example.com");
    *lab.pod.reload_at_admit.lock().unwrap() = Some(profile(&other));
    let answer = lab.ask("registry.example.com.", "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(lab.pod.refusals().len(), 1);
    assert!(lab.pod.admitted.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_answer_is_decided_like_a_new_one() {
    let lab = registry().start();
    lab.ask("registry.example.com.", "A").await;
    lab.pod.reload(profile(&PROFILE.replace("registry.example.com", "other.example.com")));
    let answer = lab.ask("registry.example.com.", "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_share_answers_and_nothing_else() {
    let lab = registry().start();
    lab.ask("registry.example.com.", "A").await;
    let closed = PROFILE.replace("registry.example.com", "other.example.com");
    let (pod, address, _server) = lab.neighbour(&closed);
    let answer = ask(address, &question("registry.example.com.", "A")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(pod.refusals().len(), 1);
    let (pod, address, _server) = lab.neighbour(PROFILE);
    let answer = ask(address, &question("registry.example.com.", "A")).await;
    assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
    assert_eq!(pod.admitted_addresses(), [ip("192.0.2.7")]);
    assert_eq!(lab.asked_upstream().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_below_a_wildcard_have_a_budget() {
    let lab = LabBuilder::new(|via| {
        let records = vec![record(&via.name(), 300, "A", "192.0.2.9")];
        vec![answer_to(&via.query, records).to_vec().unwrap()]
    })
    .start();
    for label in ["a", "b", "a", "c", "b"] {
        let answer = lab.ask(&format!("{label}.cdn.example.com."), "A").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{label}");
    }
    let answer = lab.ask("d.cdn.example.com.", "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let [seen] = &lab.pod.refusals()[..] else { panic!() };
    assert_eq!((seen.reason, seen.rule.as_deref()), (Reason::NamesBudget, Some("registry")));
    assert_eq!(lab.asked_upstream().len(), 3);

    // What another pod had cached counts just as well.
    let (pod, address, _server) = lab.neighbour(PROFILE);
    for label in ["x", "y", "z", "a"] {
        ask(address, &question(&format!("{label}.cdn.example.com."), "A")).await;
    }
    assert_eq!(pod.refusals().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn localhost_is_answered_without_policy_or_upstream() {
    let lab = registry().start();
    assert_eq!(addresses(&lab.ask("localhost.", "A").await), [ip("127.0.0.1")]);
    assert_eq!(addresses(&lab.ask("foo.LOCALHOST.", "AAAA").await), [ip("::1")]);
    assert_eq!(lab.pod.refusals(), []);
    assert_eq!(lab.asked_upstream(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reverse_lookups_fail_quietly_and_reverse_tunnels_do_not() {
    let lab = registry().start();
    for quiet in [
        "7.2.0.192.in-addr.arpa.",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
    ] {
        let answer = lab.ask(quiet, "PTR").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
    assert_eq!(lab.pod.refusals(), []);
    for loud in
        ["7.2.0.192.in-addr.arpa.", "data.7.2.0.192.in-addr.arpa.", "999.2.0.192.in-addr.arpa."]
    {
        let rtype = if loud.starts_with('7') { "TXT" } else { "PTR" };
        lab.ask(loud, rtype).await;
    }
    assert_eq!(lab.pod.refusals().len(), 3);
    assert_eq!(lab.asked_upstream(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expansion_of_an_allowed_name_is_no_violation() {
    let mut lab = registry();
    lab.search = vec!["ci.example.net", "example.net"];
    let lab = lab.start();
    for expansion in ["registry.example.com.ci.example.net.", "registry.example.com.example.net."] {
        let answer = lab.ask(expansion, "A").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
    lab.ask("registry.example.com.", "A").await;
    assert_eq!(lab.pod.refusals(), []);
    assert_eq!(lab.asked_upstream(), ["registry.example.com."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn expansions_of_a_refused_name_are_one_violation_in_either_order() {
    let mut lab = registry();
    lab.search = vec!["ci.example.net"];
    let lab = lab.start();
    // ndots:5 asks the expansion first, ndots:1 last.
    lab.ask("evil.example.org.ci.example.net.", "A").await;
    lab.ask("evil.example.org.", "A").await;
    lab.ask("evil.example.org.ci.example.net.", "AAAA").await;
    let lab_names = |lab: &Lab| -> Vec<String> {
        lab.pod.refusals().into_iter().map(|seen| seen.name).collect()
    };
    assert_eq!(lab_names(&lab), ["evil.example.org"]);
    let pod = std::sync::Arc::clone(&lab.pod);
    lab.server.shutdown();
    assert_eq!(pod.refusals().len(), 1, "nothing was still held");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expansion_that_stays_alone_is_recorded_after_all() {
    let mut lab = registry();
    lab.search = vec!["ci.example.net"];
    let lab = lab.start();
    let asked = Instant::now();
    lab.ask("c2VjcmV0.ci.example.net.", "A").await;
    let [seen] = &lab.pod.wait_refusals(1).await[..] else { panic!() };
    assert_eq!(seen.name, "c2vjcmv0.ci.example.net");
    assert!(asked.elapsed() >= Duration::from_secs(2));
    // Or at the latest when the pod ends.
    lab.ask("dG9vbGF0ZQ.ci.example.net.", "A").await;
    let pod = std::sync::Arc::clone(&lab.pod);
    lab.server.shutdown();
    assert_eq!(pod.refusals().len(), 2);
}
