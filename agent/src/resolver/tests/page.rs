//! The pod's page, by the pod's own listener: its name, and HTTP beside DNS on one port.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::testing::*;
use crate::page::{self, testing::nothing};

const PAGE: &str = "weir.internal.";
const REFUSED: &str = "evil.example.net.";

fn builder() -> LabBuilder {
    LabBuilder::answering(vec![record("x.", 300, "A", "192.0.2.7")])
}

fn served(builder: LabBuilder) -> Lab {
    let lab = builder.start();
    *lab.pod.report.lock().unwrap() = Some(nothing());
    lab
}

/// What comes back for bytes that are sent as they are, until the end of the connection.
async fn exchange_tcp(lab: &Lab, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    // A reset is an end too.
    read.expect("the connection ends").ok();
    answer
}

async fn get(lab: &Lab, path: &str) -> String {
    exchange_tcp(lab, format!("GET {path} HTTP/1.1\r\nhost: weir.internal\r\n\r\n").as_bytes())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_name_leads_to_it_by_no_policy_and_without_upstream() {
    for builder in [builder(), builder().audit()] {
        let lab = builder.start();
        for (rtype, expected) in [("A", IpAddr::V4(page::V4)), ("AAAA", IpAddr::V6(page::V6))] {
            for name in [PAGE, "Weir.INTERNAL."] {
                let answer = lab.ask(name, rtype).await;
                assert_eq!(addresses(&answer), [expected], "{name} {rtype}");
            }
        }
        for rtype in ["TXT", "HTTPS", "MX"] {
            let answer = lab.ask(PAGE, rtype).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{rtype}");
            assert!(answer.answers.is_empty());
        }
        assert_eq!(lab.pod.refusals(), []);
        assert!(lab.pod.admitted_addresses().is_empty());
        assert_eq!(lab.asked_upstream(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_below_and_beside_it_are_names_like_any_other() {
    let lab = builder().start();
    for name in ["a.weir.internal.", "weir.internal.example.net.", "internal.", "xweir.internal."] {
        let answer = lab.ask(name, "A").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
    assert_eq!(lab.pod.wait_refusals(4).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_search_list_makes_of_it_is_no_violation_and_asked_of_nobody() {
    for mut builder in [builder(), builder().audit()] {
        builder.search = vec!["ci.svc.example.net", "example.net"];
        let lab = served(builder);
        for suffix in ["ci.svc.example.net.", "example.net."] {
            let answer = lab.ask(&format!("{PAGE}{suffix}"), "A").await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        }
        assert_eq!(lab.asked_upstream(), [""; 0]);
        let begun = Instant::now();
        assert!(get(&lab, "/check").await.starts_with("HTTP/1.1 200 "));
        assert!(begun.elapsed() < Duration::from_secs(1), "nothing is held of it");
        assert_eq!(lab.pod.refusals(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_http_is_the_pages_and_one_of_dns_the_resolvers() {
    let lab = served(builder());
    assert!(get(&lab, "/check").await.starts_with("HTTP/1.1 200 "));
    lab.ask(REFUSED, "A").await;
    let answer = get(&lab, "/check").await;
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert!(answer.contains("weir: 1 attempt was refused"), "{answer}");
    assert_eq!(lab.ask_tcp(REFUSED, "A").await.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(lab.pod.refusals().len(), 2, "a request is no violation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_in_pieces_is_one() {
    let lab = served(builder());
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in ["G", "E", "T / HTTP/1.0\r\n", "\r\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_gets_nothing() {
    let lab = served(builder());
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"get / HTTP/1.1\r\n\r\n", b"\xff\xffGET / "] {
        assert_eq!(exchange_tcp(&lab, bytes).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing() {
    let lab = served(builder());
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    // Who is a stranger is asked when the connection is taken, which may be over already.
    lab.pod.stranger.store(stream.local_addr().unwrap().port().into(), Ordering::SeqCst);
    drop(stream);
    for _ in 0..5 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        lab.pod.stranger.store(socket.local_addr().unwrap().port().into(), Ordering::SeqCst);
        stream = socket.connect(lab.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().ok();
        assert_eq!(answer, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_waits_for_a_refusal_that_may_yet_be_noise() {
    let mut builder = builder();
    builder.search = vec!["svc.example.net"];
    let lab = served(builder);
    // An expansion by its form, and the bare name is never asked.
    lab.ask("registry.svc.example.net.", "A").await;
    assert_eq!(lab.pod.refusals(), []);
    let answer = get(&lab, "/check").await;
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_take_no_connection_from_questions() {
    let mut builder = builder();
    builder.settings.pod_connections = 4;
    let lab = served(builder);
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(lab.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        // Taken for what it is, or closed as one too many.
        let mut byte = [0];
        let silence = timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
        assert!(matches!(silence, Err(_) | Ok(Ok(0) | Err(_))));
        held.push(stream);
    }
    assert_eq!(lab.ask_tcp(REFUSED, "A").await.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_nothing_is_told() {
    let lab = served(builder());
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // Until it has been taken.
    assert!(get(&lab, "/").await.starts_with("HTTP/1.1 200 "));
    lab.server.shutdown();
    *lab.pod.report.lock().unwrap() = None;
    stream.write_all(b"\r\n").await.ok();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an end").ok();
    assert_eq!(answer, "");
}
