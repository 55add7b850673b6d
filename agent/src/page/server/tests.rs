//! Requests and what is answered, over a connection in memory.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;
use crate::page::testing::{nothing, question};

/// Sends bytes, and returns all that comes back until the end.
async fn exchange(report: Option<Report>, request: &str) -> String {
    let (mut client, server) = duplex(64 << 10);
    let report = report.map(Arc::new);
    let serving = tokio::spawn(serve(server, move || {
        let report = report.clone();
        async move { report }
    }));
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), client.read_to_string(&mut answer)).await.unwrap().unwrap();
    serving.await.unwrap();
    answer
}

async fn get(report: Report, target: &str) -> (u16, String) {
    let answer = exchange(Some(report), &format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn refused() -> Report {
    Report { refused: 4, refusals: vec![question("a.example.net", "node")], ..nothing() }
}

#[tokio::test]
async fn a_check_fails_on_what_was_refused() {
    assert_eq!(get(nothing(), "/check").await.0, 200);
    let (status, body) = get(refused(), "/check").await;
    assert_eq!(status, 409);
    assert!(body.contains("weir: 4 attempts were refused") && body.contains("a.example.net"));
    let (status, body) = get(refused(), "/check?format=json").await;
    assert_eq!((status, body), (409, refused().to_json()));
    // Counted and not told apart any more.
    assert_eq!(get(Report { refused: 1, ..nothing() }, "/check").await.0, 409);
}

#[tokio::test]
async fn a_check_fails_on_what_was_audited_where_that_is_asked_for() {
    let audited = || Report { audited: 1, ..nothing() };
    assert_eq!(get(audited(), "/check").await.0, 200);
    assert_eq!(get(audited(), "/check?audit=1").await.0, 409);
    assert_eq!(get(nothing(), "/check?audit=1").await.0, 200);
}

#[tokio::test]
async fn the_report_itself_never_fails() {
    assert_eq!(get(refused(), "/").await.0, 200);
    assert_eq!(get(refused(), "/?format=json").await, (200, refused().to_json()));
    assert_eq!(get(refused(), "http://weir.internal/?format=text").await.0, 200);
}

#[tokio::test]
async fn other_paths_parameters_and_methods_are_refused() {
    assert_eq!(get(refused(), "/metrics").await.0, 404);
    assert_eq!(get(refused(), "/?format=yaml").await.0, 400);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        let answer = exchange(Some(refused()), &request).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn head_says_how_long_it_would_be() {
    let answer = exchange(Some(refused()), "HEAD /check HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    let length = format!("\r\ncontent-length: {}\r\n", text::render(&refused()).len());
    assert!(answer.contains(&length), "{answer}");
}

#[tokio::test]
async fn an_answer_ends_the_connection_and_is_kept_by_nobody() {
    let twice = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2);
    let answer = exchange(Some(refused()), &twice).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    assert!(answer.contains("\r\ncache-control: no-store\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{answer}");
    let old = exchange(Some(refused()), "GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}

#[tokio::test]
async fn what_is_not_known_is_no_success() {
    let answer = exchange(None, "GET /check HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn a_head_too_long_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(20_000));
    let answer = exchange(Some(refused()), &long).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_left() {
    let (mut client, server) = duplex(1024);
    let serving = tokio::spawn(serve(server, || async { Some(Arc::new(refused())) }));
    client.write_all(b"GET / HT").await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(begun.elapsed() <= HEAD + Duration::from_secs(1), "{:?}", begun.elapsed());
    serving.await.unwrap();
}
