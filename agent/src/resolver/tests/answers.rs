//! What upstream says, hostile or not, and what a client is told of it.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::svcb::SvcParamKey;

use super::super::Transport;
use super::super::testing::*;

const NAME: &str = "registry.example.com.";

fn a(owner: &str, data: &str) -> hickory_proto::rr::Record {
    record(owner, 300, "A", data)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_from_the_question_is_told_and_nothing_else() {
    let lab = LabBuilder::new(|via| {
        let mut message = answer_to(
            &via.query,
            vec![
                a("stranger.example.net.", "192.0.2.66"),
                record("edge.example.net.", 40, "A", "192.0.2.7"),
                record(NAME, 300, "CNAME", "cdn.example.net."),
                record("cdn.example.net.", 300, "CNAME", "edge.example.net."),
                a("cdn.example.net.evil.example.", "192.0.2.67"),
                record("edge.example.net.", 300, "TXT", "more"),
            ],
        );
        message.authorities.push(record("example.net.", 300, "NS", "ns.example.net."));
        message.additionals.push(a("ns.example.net.", "192.0.2.68"));
        vec![message.to_vec().unwrap()]
    })
    .start();
    for _cached in [false, true] {
        let answer = lab.ask(NAME, "A").await;
        let owners: Vec<_> = answer.answers.iter().map(|r| r.name.to_ascii()).collect();
        assert_eq!(owners, [NAME, "cdn.example.net.", "edge.example.net."]);
        assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
        assert!(answer.answers.iter().all(|record| record.ttl <= 40), "the least of the chain");
        assert!(answer.authorities.is_empty() && answer.additionals.is_empty());
        assert!(!answer.metadata.authoritative && answer.metadata.recursion_available);
    }
    assert_eq!(lab.pod.admitted_addresses(), [ip("192.0.2.7"), ip("192.0.2.7")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_somebody_else_is_no_answer() {
    let lab = LabBuilder::answering(vec![a("evil.example.net.", "192.0.2.66")]).start();
    let answer = lab.ask(NAME, "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.answers.is_empty());
    assert!(lab.pod.admitted.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_datagrams_are_passed_over() {
    let lab = LabBuilder::new(|via| {
        let good = answer_to(&via.query, vec![a(NAME, "192.0.2.7")]);
        let forged = answer_to(&via.query, vec![a(NAME, "192.0.2.66")]);
        let mut wrong_id = forged.clone();
        wrong_id.metadata.id ^= 1;
        let mut wrong_name = forged.clone();
        wrong_name.queries[0].name = name("registry.example.net.");
        let mut wrong_type = forged.clone();
        wrong_type.queries[0].query_type = "AAAA".parse().unwrap();
        let mut no_question = forged.clone();
        no_question.queries.clear();
        let mut two_questions = forged.clone();
        two_questions.queries.push(two_questions.queries[0].clone());
        let mut not_an_answer = forged.to_vec().unwrap();
        not_an_answer[2] &= 0x7f;
        let mut all: Vec<_> = [wrong_id, wrong_name, wrong_type, no_question, two_questions]
            .iter()
            .map(|message| message.to_vec().unwrap())
            .collect();
        all.extend([not_an_answer, vec![0; 3], Vec::new(), good.to_vec().unwrap()]);
        all
    })
    .start();
    assert_eq!(addresses(&lab.ask(NAME, "A").await), [ip("192.0.2.7")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_answer_is_asked_again_over_tcp() {
    let lab = LabBuilder::new(|via| {
        let mut message = answer_to(&via.query, vec![a(NAME, "192.0.2.7")]);
        if via.transport == Transport::Udp {
            message.metadata.truncation = true;
            message.answers.clear();
        }
        vec![message.to_vec().unwrap()]
    })
    .start();
    assert_eq!(addresses(&lab.ask(NAME, "A").await), [ip("192.0.2.7")]);
    let queries = lab.upstream.queries.lock().unwrap();
    assert_eq!(queries.len(), 2);
    assert_ne!(queries[0].query.metadata.id, queries[1].query.metadata.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_and_garbage_are_servfail() {
    let looping = vec![
        record(NAME, 300, "CNAME", "a.example.net."),
        record("a.example.net.", 300, "CNAME", NAME),
    ];
    let garbage = |via: &Via| {
        let mut bytes = answer_to(&via.query, vec![a(NAME, "192.0.2.7")]).to_vec().unwrap();
        bytes.truncate(bytes.len() - 3);
        vec![bytes]
    };
    for lab in [LabBuilder::answering(looping), LabBuilder::new(garbage)] {
        let lab = lab.start();
        let answer = lab.ask(NAME, "A").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert!(extended_error(&answer).is_some());
        assert!(lab.pod.admitted.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn service_bindings_lose_hints_and_ech() {
    let data = "1 . alpn=h2 port=8443 ipv4hint=192.0.2.66 ech=AEX+DQBB ipv6hint=2001:db8::66";
    let lab = LabBuilder::answering(vec![
        record(NAME, 300, "HTTPS", data),
        record(NAME, 300, "HTTPS", "2 . mandatory=ipv4hint ipv4hint=192.0.2.67"),
        record(NAME, 300, "HTTPS", "0 other.example.com."),
    ])
    .start();
    for _cached in [false, true] {
        let answer = lab.ask(NAME, "HTTPS").await;
        let services: Vec<_> = answer
            .answers
            .iter()
            .map(|record| match &record.data {
                RData::HTTPS(service) => (service.svc_priority, service.svc_params.clone()),
                other => panic!("{other:?}"),
            })
            .collect();
        let keys: Vec<_> = services[0].1.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [SvcParamKey::Alpn, SvcParamKey::Port]);
        assert_eq!(services.iter().map(|(priority, _)| *priority).collect::<Vec<_>>(), [1, 0]);
    }
    assert!(lab.pod.admitted.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_types_are_told_in_full_for_allowed_names_only() {
    for (rtype, data) in [
        ("MX", "10 mail.example.com."),
        ("TXT", "v=spf1"),
        ("SRV", "1 2 443 target.example.com."),
        ("NS", "ns.example.com."),
        ("SOA", "ns.example.com. admin.example.com. 1 2 3 4 5"),
        ("CNAME", "other.example.com."),
        ("CAA", "0 issue \"ca.example.com\""),
    ] {
        let told = record(NAME, 300, rtype, data);
        let lab = LabBuilder::answering(vec![told.clone()]).start();
        let answer = lab.ask(NAME, rtype).await;
        assert_eq!(answer.answers.len(), 1, "{rtype}");
        assert_eq!(answer.answers[0].data, told.data);
        assert!(lab.pod.admitted.lock().unwrap().is_empty());
        let refused = lab.ask("evil.example.net.", rtype).await;
        assert_eq!(refused.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(lab.asked_upstream().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_is_answered_minimally_and_tunnel_types_not_at_all() {
    let lab = LabBuilder::answering(Vec::new()).start();
    let answer = lab.ask(NAME, "ANY").await;
    let [hinfo] = &answer.answers[..] else { panic!("{answer}") };
    assert_eq!(hinfo.record_type().to_string(), "HINFO");
    for rtype in ["NULL", "TYPE65399", "DNSKEY"] {
        let mut query = question(NAME, "A");
        query.queries[0].query_type = match rtype {
            "TYPE65399" => 65399.into(),
            known => known.parse().unwrap(),
        };
        let answer = ask(lab.address, &query).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(answer.answers.is_empty());
    }
    assert_eq!(lab.asked_upstream(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn absence_is_kept_as_long_as_the_zone_says() {
    for (ttl, minimum, asked) in [(60, 60, 1), (0, 60, 2), (60, 0, 2)] {
        let lab = LabBuilder::new(move |via| {
            vec![with_soa(no_such_name(&via.query), ttl, minimum).to_vec().unwrap()]
        })
        .start();
        for _ in 0..2 {
            let answer = lab.ask(NAME, "A").await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
            assert!(answer.authorities.is_empty());
        }
        assert_eq!(lab.asked_upstream().len(), asked, "{ttl} {minimum}");
    }
    // Without an SOA nothing is kept (RFC 2308 §5).
    let lab = LabBuilder::new(|via| vec![no_such_name(&via.query).to_vec().unwrap()]).start();
    lab.ask(NAME, "A").await;
    lab.ask(NAME, "A").await;
    assert_eq!(lab.asked_upstream().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn extreme_lifetimes_are_clamped() {
    // Zero: told as zero, asked anew each time, admitted for the grace all the same.
    let lab = LabBuilder::answering(vec![record(NAME, 0, "A", "192.0.2.7")]).start();
    let started = std::time::Instant::now();
    for _ in 0..2 {
        let answer = lab.ask(NAME, "A").await;
        assert_eq!(answer.answers[0].ttl, 0);
    }
    assert_eq!(lab.asked_upstream().len(), 2);
    let lives = lab.pod.admitted.lock().unwrap()[0].2.duration_since(started).as_secs();
    assert!((29..=31).contains(&lives), "{lives}");

    // A week: an hour, as the profile says. With the top bit set: zero (RFC 2181 §8).
    for (ttl, told) in [(604_800, 3599..=3600), (u32::MAX, 0..=0)] {
        let lab = LabBuilder::answering(vec![record(NAME, ttl, "A", "192.0.2.7")]).start();
        let answer = lab.ask(NAME, "A").await;
        assert!(told.contains(&answer.answers[0].ttl), "{}", answer.answers[0].ttl);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_grace_is_usable_for_a_moment() {
    let mut lab = LabBuilder::answering(vec![record(NAME, 0, "A", "192.0.2.7")]);
    lab.profile = lab.profile.replace("grace: 30s", "grace: 0s");
    let lab = lab.start();
    let started = std::time::Instant::now();
    lab.ask(NAME, "A").await;
    let expires = lab.pod.admitted.lock().unwrap()[0].2;
    assert!(expires >= started + std::time::Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_count_down_in_the_cache() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start();
    let first = lab.ask(NAME, "A").await.answers[0].ttl;
    let mut last = first;
    let until = std::time::Instant::now() + PATIENCE;
    while last == first {
        assert!(std::time::Instant::now() < until);
        last = lab.ask(NAME, "A").await.answers[0].ttl;
    }
    assert!(last < first);
    assert_eq!(lab.asked_upstream().len(), 1);
    let ends: Vec<_> = lab.pod.admitted.lock().unwrap().iter().map(|(.., end)| *end).collect();
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "the entry's end stands still");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_client_but_name_and_type_goes_upstream() {
    use hickory_proto::rr::rdata::opt::EdnsOption;

    let lab = LabBuilder::answering(vec![a(NAME, "192.0.2.7")]).start();
    let mut query = question("REGISTRY.example.com.", "A");
    query.metadata.checking_disabled = true;
    query.metadata.authentic_data = true;
    let edns = query.edns.as_mut().unwrap();
    edns.set_dnssec_ok(true);
    edns.options_mut().insert(EdnsOption::Unknown(65001, b"exfiltrate".to_vec()));
    ask(lab.address, &query).await;
    let queries = lab.upstream.queries.lock().unwrap();
    let [via] = &queries[..] else { panic!() };
    assert_eq!(via.name(), NAME);
    let mut expected = vec![0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1];
    expected.extend(b"\x08registry\x07example\x03com\x00\x00\x01\x00\x01");
    expected.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(via.bytes[2..], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_not_predictable_from_one_another() {
    let lab = LabBuilder::new(|via| {
        vec![
            answer_to(&via.query, vec![record(&via.name(), 0, "A", "192.0.2.7")]).to_vec().unwrap(),
        ]
    })
    .start();
    for _ in 0..16 {
        lab.ask(NAME, "A").await;
    }
    let queries = lab.upstream.queries.lock().unwrap();
    let mut ids: Vec<u16> = queries.iter().map(|via| via.query.metadata.id).collect();
    let steps: std::collections::HashSet<u16> =
        ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 8, "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_addresses_are_bounded_and_told_as_admitted() {
    let lab = LabBuilder::new(|via| {
        let records = (0..200).map(|i| a(NAME, &format!("192.0.2.{i}"))).collect();
        let mut message = answer_to(&via.query, records);
        if via.transport == Transport::Udp {
            message.metadata.truncation = true;
            message.answers.truncate(20);
        }
        vec![message.to_vec().unwrap()]
    })
    .start();
    let answer: Message = lab.ask_tcp(NAME, "A").await;
    assert_eq!(addresses(&answer).len(), 64);
    assert_eq!(lab.pod.admitted_addresses(), addresses(&answer));
}
