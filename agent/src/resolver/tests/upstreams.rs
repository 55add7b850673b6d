//! Servers that fail, and what clients are told then.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::net::UdpSocket;

use super::super::testing::*;

const NAME: &str = "registry.example.com.";

fn good() -> LabBuilder {
    let mut lab = LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]);
    lab.settings.upstream_timeout = Duration::from_millis(200);
    lab.settings.query_timeout = Duration::from_secs(2);
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_passed_over_and_not_preferred_any_more() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut lab = good();
    lab.before = vec![silent.local_addr().unwrap()];
    let lab = lab.start();
    let started = Instant::now();
    assert_eq!(addresses(&lab.ask(NAME, "A").await), [ip("192.0.2.7")]);
    assert!(started.elapsed() >= Duration::from_millis(200));
    let mut buffer = [0; 512];
    silent.try_recv(&mut buffer).expect("the first server was asked first");
    assert!(lab.ask(NAME, "TXT").await.answers.is_empty());
    assert!(silent.try_recv(&mut buffer).is_err(), "and then not again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_passed_over_at_once() {
    let closed: SocketAddr = {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let mut lab = good();
    lab.settings.upstream_timeout = PATIENCE;
    lab.settings.query_timeout = PATIENCE;
    lab.before = vec![closed];
    let lab = lab.start();
    let started = Instant::now();
    assert_eq!(addresses(&lab.ask(NAME, "A").await), [ip("192.0.2.7")]);
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_answers_the_client_is_told_why() {
    let mut lab = LabBuilder::new(|_| Vec::new());
    lab.settings.upstream_timeout = Duration::from_millis(50);
    let lab = lab.start();
    let answer = lab.ask(NAME, "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(extended_error(&answer).unwrap().0, 22);
    assert_eq!(lab.asked_upstream().len(), 3, "a lone server is asked three times");
    // For a moment it is not asked again.
    assert_eq!(lab.ask(NAME, "A").await.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(lab.asked_upstream().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_not_pressed() {
    let lab = LabBuilder::new(|via| {
        let mut message = answer_to(&via.query, Vec::new());
        message.metadata.response_code = ResponseCode::ServFail;
        vec![message.to_vec().unwrap()]
    })
    .start();
    let answer = lab.ask(NAME, "A").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(lab.asked_upstream().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_question_ends_before_a_stub_gives_up() {
    let mut lab = LabBuilder::new(|_| Vec::new());
    lab.settings.upstream_timeout = Duration::from_millis(400);
    lab.settings.query_timeout = Duration::from_millis(500);
    let lab = lab.start();
    let started = Instant::now();
    lab.ask(NAME, "A").await;
    assert!(started.elapsed() < Duration::from_millis(1500));
    assert_eq!(lab.asked_upstream().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_questions_go_upstream_once() {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let lab = LabBuilder::new(move |via| {
        // Holds the answer back until the test lets go of its end.
        tokio::task::block_in_place(|| gate.lock().unwrap().recv_timeout(PATIENCE).is_err());
        vec![answer_to(&via.query, vec![record(NAME, 300, "A", "192.0.2.7")]).to_vec().unwrap()]
    })
    .start();
    let query = question(NAME, "A");
    let one = || ask(lab.address, &query);
    let let_go = async {
        while lab.pod.calls.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        drop(release);
    };
    let (one, two, three, ()) = tokio::join!(one(), one(), one(), let_go);
    for answer in [one, two, three] {
        assert_eq!(addresses(&answer), [ip("192.0.2.7")]);
    }
    assert_eq!(lab.asked_upstream().len(), 1);
}
