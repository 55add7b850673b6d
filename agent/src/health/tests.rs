//! The server as a probe sees it, and as a hostile client does.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

async fn serve(readiness: &Readiness) -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = HealthServer::bind(any, readiness.clone()).await.unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.serve());
    address
}

/// Everything that comes back until the server closes.
async fn send(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await;
    // A server that closes over unread bytes resets the connection; what it said before counts.
    read.expect("the server closes").map(drop).unwrap_or_default();
    answer
}

/// Status and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = send(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn ready_is_when_every_condition_holds() {
    let readiness = Readiness::default();
    let address = serve(&readiness).await;
    assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz").await, (503, "starting\n".to_owned()));
    let programs = readiness.condition("programs");
    let containerd = readiness.condition("containerd");
    let both = "containerd: not yet\nprograms: not yet\n";
    assert_eq!(get(address, "/readyz").await, (503, both.to_owned()));
    programs.holds();
    containerd.fails("nobody listens\nat \u{1b}");
    let one = "containerd: nobody listens\\nat \\u{1b}\n";
    assert_eq!(get(address, "/readyz").await, (503, one.to_owned()));
    containerd.holds();
    assert_eq!(get(address, "/readyz?verbose").await, (200, "ready\n".to_owned()));
    drop(containerd);
    assert_eq!(get(address, "/readyz").await.0, 200);
    programs.fails("gone");
    assert_eq!(get(address, "/readyz").await, (503, "programs: gone\n".to_owned()));
    assert_eq!(get(address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn a_task_that_panics_is_not_ready() {
    let readiness = Readiness::default();
    let condition = readiness.condition("task");
    condition.holds();
    let task = tokio::spawn(async move {
        let _condition = condition;
        panic!("on purpose");
    });
    assert!(task.await.is_err());
    assert_eq!(readiness.check(), Err("task: its task has panicked\n".to_owned()));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let address = serve(&Readiness::default()).await;
    assert_eq!(get(address, "/").await.0, 404);
    assert_eq!(get(address, "/healthz/").await.0, 404);
    let answer =
        send(address, b"POST /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
    let answer = send(address, b"HEAD /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn heads_that_are_too_large_or_none_are_refused() {
    let address = serve(&Readiness::default()).await;
    let huge = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(1 << 20));
    let answer = send(address, huge.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = send(address, b"\x16\x03\x01\x00\xa5 no http\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(get(address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn those_who_say_nothing_keep_nobody_waiting() {
    let address = serve(&Readiness::default()).await;
    // As many as there are places: they are freed when their time for a head is over.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let asked = timeout(Duration::from_secs(15), get(address, "/healthz")).await;
    assert_eq!(asked.expect("an answer in time").0, 200);
    drop(silent);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let address = serve(&Readiness::default()).await;
    let error = HealthServer::bind(address, Readiness::default()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
