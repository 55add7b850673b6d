//! The watch against an HTTP stand-in of the API server, for what a real one does not do on demand. A real one is in the
//! end-to-end suites.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

/// How long anything may take; kube-rs waits up to a second before it tries again for the first time.
const LIMIT: Duration = Duration::from_secs(30);

/// What the server does with one request.
#[derive(Clone, Debug)]
enum Act {
    /// Answers with this status and text.
    Say(StatusCode, String),
    /// Says nothing for a while, then what the other would.
    Slowly(Duration, Box<Act>),
    /// Takes the request and closes the connection.
    HangUp,
}

/// Requests as they came, and what is done with the next ones; after that, empty answers.
#[derive(Clone, Default)]
struct Server {
    acts: Arc<Mutex<VecDeque<Act>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: Arc::new(Mutex::new(acts.into_iter().collect())), ..Self::default() }
    }

    /// Serves on loopback; a kubeconfig that leads there.
    async fn serve(&self) -> tempfile::NamedTempFile {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| server.clone().answer(request));
                    // A connection that is hung up is an error here, as it is meant.
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "clusters": [{"name": "lab", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "lab", "user": {}}],
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        file
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<String>, &'static str> {
        self.requests.lock().unwrap().push(request.uri().to_string());
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let act = self.acts.lock().unwrap().pop_front();
        let mut act = act.unwrap_or_else(|| if is_watch { quiet() } else { list(&[]) });
        loop {
            match act {
                Act::Say(status, text) => {
                    let mut response = Response::new(text);
                    *response.status_mut() = status;
                    return Ok(response);
                }
                Act::Slowly(time, then) => {
                    tokio::time::sleep(time).await;
                    act = *then;
                }
                Act::HangUp => return Err("hung up"),
            }
        }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A watch that ends at once, without a word; it is begun again.
fn quiet() -> Act {
    Act::Slowly(Duration::from_millis(50), Box::new(Act::Say(StatusCode::OK, String::new())))
}

fn pod(uid: &str, version: u32, label: &str) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {
            "name": uid, "namespace": "ci", "uid": uid, "resourceVersion": version.to_string(),
            "labels": {"team": label},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "1"},
                {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly", "uid": "2", "controller": true},
            ],
        },
    })
}

fn list(pods: &[Value]) -> Act {
    let list = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
        "metadata": {"resourceVersion": "100"}, "items": pods,
    });
    Act::Say(StatusCode::OK, list.to_string())
}

fn watch(events: &[(&str, Value)]) -> Act {
    let lines = events.iter().map(|(kind, object)| json!({"type": kind, "object": object}));
    Act::Say(StatusCode::OK, lines.map(|line| line.to_string() + "\n").collect())
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    })
}

/// Follows the server's pods; the changes that are expected, in their order.
async fn told(server: &Server, expected: &[(&str, &str)]) -> u64 {
    let kubeconfig = server.serve().await;
    let breaks = Arc::<AtomicU64>::default();
    let access = Access::Kubeconfig(kubeconfig.path().to_owned());
    let mut changes = follow(&access, "ci-7", Arc::clone(&breaks)).await.unwrap();
    let mut listings = 0;
    for (uid, label) in expected {
        let change = loop {
            let next = timeout(LIMIT, changes.recv()).await.expect(uid).expect("the watch ended");
            if next != PodChange::Anew {
                break next;
            }
            listings += 1;
        };
        match change {
            PodChange::Anew => unreachable!("passed over above"),
            PodChange::Told(told, facts) => {
                assert_eq!((told.as_str(), facts.labels["team"].as_str()), (*uid, *label));
                let owner = facts.owner.unwrap();
                assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Job", "nightly"));
            }
            PodChange::Gone(told) => assert_eq!((told.as_str(), "gone"), (*uid, *label)),
        }
    }
    assert!(listings > 0, "what was told before is never forgotten");
    breaks.load(Ordering::Relaxed)
}

#[tokio::test]
async fn pods_that_are_there_come_change_and_go() {
    let server = Server::new([
        list(&[pod("a", 1, "x")]),
        watch(&[
            ("ADDED", pod("b", 101, "y")),
            ("MODIFIED", pod("b", 102, "z")),
            ("DELETED", pod("a", 103, "x")),
        ]),
    ]);
    let expected = [("a", "x"), ("b", "y"), ("b", "z"), ("a", "gone")];
    assert_eq!(told(&server, &expected).await, 0);
    let asked = server.requests();
    let is_ours = |request: &String| {
        request.starts_with("/api/v1/pods?") && request.contains("spec.nodeName%3Dci-7")
    };
    assert!(asked.iter().all(is_ours), "{asked:?}");
}

#[tokio::test]
async fn a_history_that_is_gone_is_listed_anew() {
    let server = Server::new([
        list(&[pod("a", 1, "x")]),
        watch(&[("ERROR", status(410, "Expired"))]),
        list(&[pod("a", 2, "y")]),
    ]);
    assert_eq!(told(&server, &[("a", "x"), ("a", "y")]).await, 1);
}

#[tokio::test]
async fn a_server_that_is_slow_forbids_fails_or_hangs_up_is_asked_again() {
    let forbidden = Act::Say(StatusCode::FORBIDDEN, status(403, "Forbidden").to_string());
    let broken = Act::Say(StatusCode::OK, "{\"kind\":".to_owned());
    let slow = Act::Slowly(Duration::from_millis(300), Box::new(list(&[pod("a", 1, "x")])));
    let server = Server::new([forbidden, Act::HangUp, broken, slow]);
    assert!(told(&server, &[("a", "x")]).await >= 3);
}

#[tokio::test]
async fn a_kubeconfig_that_is_none_is_said_so() {
    let breaks = Arc::default();
    let access = Access::Kubeconfig("/nonexistent".into());
    let error = follow(&access, "ci-7", breaks).await.unwrap_err();
    assert_eq!(error.to_string(), "reading the kubeconfig /nonexistent");
}
