//! The socket, what is said over it, and how it is shown.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

struct Pods(Vec<PodStatus>);

impl PodsSource for Pods {
    fn pods(&self) -> Vec<PodStatus> {
        self.0.clone()
    }
}

fn pod(namespace: &str, name: &str) -> PodStatus {
    PodStatus {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: "8a0e".to_owned(),
        sandbox: "5b1a".to_owned(),
        profile: "build/node".to_owned(),
        mode: "block".to_owned(),
        state: PodState::Enforcing,
        since: "2026-11-25T08:00:00Z".to_owned(),
        allow_entries: 12,
        allowed: 3456,
        refused: 7,
        lost: 0,
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

/// Serves whoever runs the tests, in a runtime of its own thread.
fn serve(path: &Path, pods: Vec<PodStatus>, may_ask: fn(u32) -> bool) {
    let (ready, bound) = std::sync::mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = ControlSocket::bind(&path).unwrap();
            ready.send(()).unwrap();
            socket.serve_those(Arc::new(Pods(pods)), may_ask).await
        })
    });
    bound.recv_timeout(Duration::from_secs(10)).unwrap();
}

fn send(path: &Path, question: &[u8]) -> String {
    let mut stream = StdStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that has heard enough closes.
    stream.write_all(question).unwrap_or_default();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(drop).unwrap_or_default();
    String::from_utf8(answer).unwrap()
}

#[test]
fn pods_are_asked_for_and_come_sorted() {
    let folder = folder();
    let path = folder.path().join("weir.sock");
    serve(&path, vec![pod("b", "a"), pod("a", "z"), pod("a", "b")], |_| true);
    let names: Vec<_> =
        pods(&path).unwrap().iter().map(|p| format!("{}/{}", p.namespace, p.name)).collect();
    assert_eq!(names, ["a/b", "a/z", "b/a"]);
    assert_eq!(pods(&path).unwrap()[0], pod("a", "b"));
}

#[test]
fn the_line_is_as_documented() {
    let folder = folder();
    let path = folder.path().join("weir.sock");
    serve(&path, vec![pod("ci", "job")], |_| true);
    let answer = send(&path, b"{\"version\":1,\"ask\":\"pods\"}\n");
    assert_eq!(answer.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        value,
        serde_json::json!({ "version": 1, "pods": [{
            "namespace": "ci", "name": "job", "uid": "8a0e", "sandbox": "5b1a", "profile": "build/node",
            "mode": "block", "state": "enforcing", "since": "2026-11-25T08:00:00Z",
            "allow_entries": 12, "allowed": 3456, "refused": 7, "lost": 0,
        }] })
    );
}

#[test]
fn bad_questions_get_an_error_and_end_nothing() {
    let folder = folder();
    let path = folder.path().join("weir.sock");
    serve(&path, Vec::new(), |_| true);
    let check = |question: &[u8], expected: &str| {
        let answer = send(&path, question);
        assert!(
            answer.starts_with("{\"version\":1,\"error\":") && answer.contains(expected),
            "{answer}"
        );
    };
    check(b"\n", "cannot be read");
    check(b"pods\n", "cannot be read");
    check(b"{\"version\":2,\"ask\":\"anything\",\"new\":1}\n", "speaks version 1, not 2");
    check(b"{\"version\":1,\"ask\":\"secrets\"}\n", "unknown variant");
    check(b"{\"version\":1,\"ask\":\"pods\",\"all\":true}\n", "unknown field");
    check(&b"a".repeat(4096), "at most 4096 bytes");
    check(&[b"[".repeat(4000), b"\n".to_vec()].concat(), "cannot be read");
    assert_eq!(pods(&path).unwrap(), []);
}

#[test]
fn only_root_is_answered() {
    let folder = folder();
    let path = folder.path().join("weir.sock");
    serve(&path, vec![pod("ci", "job")], |_| false);
    let error = pods(&path).unwrap_err();
    assert!(matches!(&error, AskError::Refused(text) if text == "only root may ask"), "{error}");
}

#[tokio::test]
async fn the_socket_and_its_folder_are_closed_to_others() {
    let folder = folder();
    let path = folder.path().join("a/b/weir.sock");
    let socket = ControlSocket::bind(&path).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    drop(socket);
    assert!(!path.exists());

    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = ControlSocket::bind(&path).unwrap_err();
    assert!(matches!(error, ControlError::Open { .. }), "{error}");
}

#[tokio::test]
async fn a_dead_agents_socket_is_replaced_and_a_live_ones_is_not() {
    let folder = folder();
    let path = folder.path().join("weir.sock");
    // What a killed agent leaves: a socket that nobody listens at.
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    let live = ControlSocket::bind(&path).unwrap();
    let error = ControlSocket::bind(&path).unwrap_err();
    assert!(error.to_string().starts_with("another agent is running: "), "{error}");
    assert!(StdStream::connect(&path).is_ok(), "the live one was hurt");
    drop(live);
    ControlSocket::bind(&path).unwrap();
}

#[tokio::test]
async fn what_is_no_socket_stays() {
    let folder = folder();
    let path = folder.path().join("weir.sock");
    fs::write(&path, "precious").unwrap();
    let error = ControlSocket::bind(&path).unwrap_err();
    assert!(matches!(error, ControlError::Occupied { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    symlink("/nonexistent", &path).unwrap();
    assert!(matches!(ControlSocket::bind(&path), Err(ControlError::Occupied { .. })));
}

#[test]
fn an_agent_that_is_not_there_or_speaks_otherwise_is_told() {
    let folder = folder();
    let path = folder.path().join("weir.sock");
    assert!(matches!(pods(&path), Err(AskError::NoAgent { .. })));
    let answer = |text: &'static str| {
        fs::remove_file(&path).unwrap_or_default();
        let listener = StdListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        });
        let error = pods(&path).unwrap_err();
        thread.join().unwrap();
        error
    };
    let error = answer("{\"version\":9,\"stars\":[]}\n");
    assert!(matches!(error, AskError::Version(9)), "{error}");
    assert!(matches!(answer("{\"version\":1}\n"), AskError::Answer(_)));
    assert!(matches!(answer("{\"version\":1,\"error\":\"no\"}\n"), AskError::Refused(_)));
}

#[test]
fn the_table_is_for_people_and_cannot_be_restyled() {
    let mut hostile = pod("ci", "a\u{1b}[2J\nfake/pod");
    (hostile.state, hostile.refused) = (PodState::Failed, 12345);
    let expected = "\
POD                            PROFILE     MODE   STATE      SINCE                 ENTRIES  ALLOWED  REFUSED  LOST
ci/a\\u{1b}[2J\\nfake/pod  build/node  block  failed     2026-11-25T08:00:00Z       12     3456    12345     0
ci/job                         build/node  block  enforcing  2026-11-25T08:00:00Z       12     3456        7     0
";
    let text = to_text(&[hostile, pod("ci", "job")]);
    let squeeze = |text: &str| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(squeeze(&text), squeeze(expected));
    let widths: Vec<_> = text.lines().map(str::len).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    assert_eq!(to_text(&[]).lines().count(), 1);
    assert_eq!(to_json(&[]).unwrap(), "[]\n");
}
