//! UDP and TCP, EDNS and truncation.

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::testing::*;

const NAME: &str = "registry.example.com.";

fn large() -> LabBuilder {
    let text = "x".repeat(200);
    LabBuilder::answering((0..9).map(|i| record(NAME, 300, "TXT", &format!("{i}{text}"))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_truncated_and_complete_over_tcp() {
    let lab = large().start();
    for (payload, limit) in [(None, 512), (Some(512), 512), (Some(4096), 1232), (Some(0), 512)] {
        let mut query = question(NAME, "TXT");
        match payload {
            None => query.edns = None,
            // The builder of the library raises what is below 512.
            Some(payload) => drop(query.edns.as_mut().unwrap().set_max_payload(payload)),
        }
        let bytes = exchange(lab.address, &query.to_vec().unwrap()).await;
        assert!(bytes.len() <= limit);
        let answer = Message::from_vec(&bytes).unwrap();
        assert!(answer.metadata.truncation);
        assert!(answer.answers.is_empty());
        assert_eq!(answer.edns.is_some(), payload.is_some());
    }
    let answer = lab.ask_tcp(NAME, "TXT").await;
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 9);
    assert_eq!(lab.asked_upstream().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_edns_gets_none() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start();
    for name in [NAME, "evil.example.net."] {
        let mut query = question(name, "A");
        query.edns = None;
        let answer = ask(lab.address, &query).await;
        assert!(answer.edns.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_payload_is_told_and_dnssec_ok_repeated() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start();
    let mut query = question(NAME, "A");
    query.edns.as_mut().unwrap().set_dnssec_ok(true);
    let answer = ask(lab.address, &query).await;
    let edns = answer.edns.unwrap();
    assert_eq!(edns.max_payload(), 1232);
    assert!(edns.flags().dnssec_ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_many_questions_at_once() {
    let lab = LabBuilder::new(|via| {
        vec![
            answer_to(&via.query, vec![record(&via.name(), 300, "A", "192.0.2.7")])
                .to_vec()
                .unwrap(),
        ]
    })
    .start();
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    let names = [NAME, "a.cdn.example.com.", "evil.example.net.", "b.cdn.example.com.", NAME];
    for (id, name) in names.iter().enumerate() {
        let mut query = question(name, "A");
        query.metadata.id = id.try_into().unwrap();
        send_tcp(&mut stream, &query.to_vec().unwrap()).await;
    }
    let mut told = vec![None; names.len()];
    for _ in names {
        let answer = Message::from_vec(&receive_tcp(&mut stream).await).unwrap();
        let slot = &mut told[usize::from(answer.metadata.id)];
        assert!(slot.replace(answer.metadata.response_code).is_none());
    }
    let refused: Vec<_> = told.iter().map(|rcode| *rcode == Some(ResponseCode::NXDomain)).collect();
    assert_eq!(refused, [false, false, true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_shuts_its_side_still_gets_its_answer() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start();
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    send_tcp(&mut stream, &question(NAME, "A").to_vec().unwrap()).await;
    stream.shutdown().await.unwrap();
    let answer = Message::from_vec(&receive_tcp(&mut stream).await).unwrap();
    assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
}

async fn ends(mut stream: TcpStream) {
    let read = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    // A reset is an end too.
    assert!(read.is_ok(), "the connection is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_half_sent_connections_end() {
    let mut lab = LabBuilder::answering(Vec::new());
    lab.settings.tcp_idle = std::time::Duration::from_millis(100);
    let lab = lab.start();
    ends(TcpStream::connect(lab.address).await.unwrap()).await;
    let mut half = TcpStream::connect(lab.address).await.unwrap();
    half.write_all(&[0, 30, 1, 2, 3]).await.unwrap();
    ends(half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_message_ends_the_connection() {
    let lab = LabBuilder::answering(Vec::new()).start();
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    stream.write_all(&[0xff, 0xff]).await.unwrap();
    ends(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_is_served_alike() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "AAAA", "2001:db8::7")]).start();
    let address = lab.address_v6.expect("this machine has ::1");
    let answer = ask(address, &question(NAME, "AAAA")).await;
    assert_eq!(addresses(&answer), [ip("2001:db8::7")]);
    assert_eq!(lab.pod.admitted_addresses(), [ip("2001:db8::7")]);
}
