//! Bounds, panics and ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::super::testing::*;

const NAME: &str = "registry.example.com.";

#[tokio::test(flavor = "multi_thread")]
async fn too_many_questions_at_once_are_servfail() {
    let mut lab = LabBuilder::new(|_| Vec::new());
    lab.settings.pod_queries = 1;
    let lab = lab.start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(lab.address).await.unwrap();
    socket.send(&question(NAME, "A").to_vec().unwrap()).await.unwrap();
    let mut second = question("a.cdn.example.com.", "A");
    second.metadata.id = 2;
    socket.send(&second.to_vec().unwrap()).await.unwrap();
    let answer = Message::from_vec(&receive(&socket).await).unwrap();
    assert_eq!(answer.metadata.id, 2);
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    // A refusal needs no upstream and is told as ever.
    let refused = lab.ask("evil.example.net.", "A").await;
    assert_eq!(refused.metadata.response_code, ResponseCode::NXDomain);
    // Nor is a neighbour held up.
    let (_pod, address, _server) = lab.neighbour(PROFILE);
    let refused = ask(address, &question("evil.example.net.", "A")).await;
    assert_eq!(refused.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_wait_for_upstream_leave_room_for_a_neighbours() {
    let mut lab = LabBuilder::new(|_| Vec::new());
    lab.settings.upstream_queries = 8;
    lab.profile = lab.profile.replace("namesPerWildcard: 3", "namesPerWildcard: 100");
    let lab = lab.start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(lab.address).await.unwrap();
    let mut refused = 0;
    for number in 0..12 {
        let before = lab.asked_upstream().len();
        let query = question(&format!("n{number}.cdn.example.com."), "A").to_vec().unwrap();
        socket.send(&query).await.unwrap();
        // Either it is asked, or it is refused at once.
        while lab.asked_upstream().len() == before {
            let mut answer = [0; 1500];
            if socket.try_recv(&mut answer).is_ok() {
                refused += 1;
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((lab.asked_upstream().len(), refused), (4, 8));
    let (_pod, address, _server) = lab.neighbour(PROFILE);
    tokio::spawn(async move { ask(address, &question(NAME, "A")).await });
    let asked = async {
        while !lab.asked_upstream().contains(&NAME.to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE / 5, asked).await.expect("the neighbour's question is asked at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_pod_are_bounded() {
    let mut lab = LabBuilder::answering(Vec::new());
    lab.settings.pod_connections = 1;
    let lab = lab.start();
    let mut first = TcpStream::connect(lab.address).await.unwrap();
    send_tcp(&mut first, &question("evil.example.net.", "A").to_vec().unwrap()).await;
    receive_tcp(&mut first).await;
    let mut second = TcpStream::connect(lab.address).await.unwrap();
    let end = timeout(PATIENCE, second.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(end.is_err() || end.is_ok_and(|len| len == 0));
    // UDP is not in the way.
    lab.ask("evil.example.net.", "A").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_one_datagram_its_answer() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(lab.address).await.unwrap();
    lab.pod.panic_once.store(true, Ordering::SeqCst);
    for id in [1, 2] {
        let mut query = question(NAME, "A");
        query.metadata.id = id;
        socket.send(&query.to_vec().unwrap()).await.unwrap();
    }
    let answer = Message::from_vec(&receive(&socket).await).unwrap();
    assert_eq!(answer.metadata.id, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_shutdown_nothing_calls_the_pod() {
    let lab = LabBuilder::new(|_| Vec::new()).start();
    let (address, pod) = (lab.address, Arc::clone(&lab.pod));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    // One question is on its way upstream, one connection is open.
    socket.send(&question(NAME, "A").to_vec().unwrap()).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    send_tcp(&mut stream, &question("evil.example.net.", "A").to_vec().unwrap()).await;
    receive_tcp(&mut stream).await;
    while lab.asked_upstream().is_empty() {
        tokio::task::yield_now().await;
    }
    lab.server.shutdown();
    let calls = pod.calls.load(Ordering::SeqCst);
    let end = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "the connection ends");
    drop(socket.send(&question(NAME, "A").to_vec().unwrap()).await);
    assert_eq!(pod.calls.load(Ordering::SeqCst), calls);
    assert!(pod.admitted.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_answers_are_all_admitted_first() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(lab.address).await.unwrap();
    let query = question(NAME, "A").to_vec().unwrap();
    for round in 1..=10_000 {
        socket.send(&query).await.unwrap();
        receive(&socket).await;
        assert!(lab.pod.admitted.lock().unwrap().len() >= round);
    }
}

#[tokio::test]
async fn serving_needs_no_second_runtime_thread() {
    let lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start();
    assert_eq!(addresses(&lab.ask(NAME, "A").await), [ip("192.0.2.7")]);
}

#[test]
fn serving_outside_a_runtime_is_an_error() {
    use super::super::{Listener, Resolver, ResolverSettings, Upstreams, serve};

    let upstreams = Upstreams::from_addrs(&["127.0.0.1:53".parse().unwrap()]).unwrap();
    let resolver = Resolver::new(upstreams, ResolverSettings::default());
    let pod = TestPod::new(profile(PROFILE));
    assert!(serve(resolver, pod, Listener::bind_loopback().unwrap()).is_err());
}
