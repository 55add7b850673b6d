//! Talking to the API server from a guest's node, with curl: plain requests, and pods watched as they change.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{ADMINISTRATOR, AUTHORITY, NAMESPACE, PORT, PodState};
use crate::exec::{self, Running};
use crate::node::Node;
use crate::vm;

/// Most time for one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// A client of the API server, as its administrator.
#[derive(Debug)]
pub struct Api<'a> {
    node: &'a Node,
    authority: PathBuf,
}

impl<'a> Api<'a> {
    /// A client on `node`, which knows the server by what is in `folder`.
    #[must_use]
    pub fn new(node: &'a Node, folder: &Path) -> Self {
        Self { node, authority: folder.join(AUTHORITY) }
    }

    /// Asks for what is at `path`.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.request(path, &[])
    }

    /// Makes what `body` describes in the collection at `path`.
    pub fn create(&self, path: &str, body: &Value) -> Result<Value> {
        self.request(path, &["--data-binary", &body.to_string()])
    }

    /// Replaces what is at `path`.
    pub fn replace(&self, path: &str, body: &Value) -> Result<Value> {
        self.request(path, &["--request", "PUT", "--data-binary", &body.to_string()])
    }

    /// Merges `body` into what is at `path`.
    pub fn merge(&self, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let arguments = ["--request", "PATCH", "--data-binary", &body];
        self.request_as("application/merge-patch+json", path, &arguments)
    }

    /// Makes a pod and watches it.
    pub fn create_pod(&self, pod: &Value) -> Result<PodWatch> {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).context("no name")?;
        let made = self.create(&pods(), pod)?;
        let uid = made.pointer("/metadata/uid").and_then(Value::as_str).context("no uid")?;
        let watch = self.watch(&pods(), name)?;
        Ok(PodWatch { name: name.to_owned(), uid: uid.to_owned(), watch })
    }

    /// A pod as it is now.
    pub fn pod(&self, pod: &PodWatch) -> Result<PodState> {
        Ok(PodState::new(self.get(&pod.path())?))
    }

    /// Has what is at `path` deleted.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.request(path, &["--request", "DELETE"]).map(drop)
    }

    /// Deletes a pod and waits until it is gone, which the kubelet says.
    pub fn delete_pod(&self, pod: &PodWatch, limit: Duration) -> Result<()> {
        self.delete(&pod.path())?;
        pod.watch.until_deleted(limit)
    }

    /// Watches the object `name` of the collection at `path`.
    pub fn watch(&self, path: &str, name: &str) -> Result<Watch> {
        let query = format!("{path}?watch=1&fieldSelector=metadata.name%3D{name}");
        let mut curl = self.curl(&query);
        curl.arg("--no-buffer");
        let events = exec::spawn_as(curl, format!("watching {name}"))?;
        Ok(Watch { events, last: RefCell::default() })
    }

    fn request(&self, path: &str, arguments: &[&str]) -> Result<Value> {
        self.request_as("application/json", path, arguments)
    }

    fn request_as(&self, kind: &str, path: &str, arguments: &[&str]) -> Result<Value> {
        let mut curl = self.curl(path);
        curl.args(["--header", &format!("Content-Type: {kind}")]);
        curl.arg("--fail-with-body").args(arguments);
        let output = exec::run(curl, REQUEST_LIMIT)?;
        ensure!(output.code == 0, "{arguments:?} at {path}: {}", output.describe());
        serde_json::from_str(&output.stdout).with_context(|| format!("reading {path}"))
    }

    fn curl(&self, path: &str) -> Command {
        let mut curl = self.node.command("curl");
        curl.args(["--silent", "--show-error", "--cacert"]).arg(&self.authority);
        curl.args(["--header", &format!("Authorization: Bearer {ADMINISTRATOR}")]);
        curl.arg(format!("https://{}:{PORT}{path}", vm::HOST));
        curl
    }
}

/// The path of all pods in the jobs' namespace.
fn pods() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// The changes of one object, as they happen.
#[derive(Debug)]
pub struct Watch {
    events: Running,
    /// What was heard last, for messages.
    last: RefCell<String>,
}

impl Watch {
    /// Waits until `wanted` holds for the object, and returns it.
    pub fn until(&self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let (kind, object) = self.next(deadline)?;
            ensure!(kind != "DELETED" && kind != "ERROR", "{kind}: {object}");
            if wanted(&object) {
                return Ok(object);
            }
        }
    }

    fn until_deleted(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.next(deadline)?.0 != "DELETED" {}
        Ok(())
    }

    /// What happened, and the object after it.
    fn next(&self, deadline: Instant) -> Result<(String, Value)> {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = self.events.wait_for_line(left, |_| true) else {
            bail!(
                "it does not come to what is waited for; the last that was heard: {}",
                self.last.borrow()
            );
        };
        let event: Value =
            serde_json::from_str(&line).with_context(|| format!("reading the event {line}"))?;
        self.last.replace(line);
        let kind = event.get("type").and_then(Value::as_str).context("an event of no type")?;
        let object = event.get("object").context("an event of nothing")?;
        Ok((kind.to_owned(), object.clone()))
    }
}

/// A pod, watched from its beginning on.
#[derive(Debug)]
pub struct PodWatch {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    watch: Watch,
}

impl PodWatch {
    /// Waits until `wanted` holds for the pod, and returns it.
    pub fn until(&self, limit: Duration, wanted: impl Fn(&PodState) -> bool) -> Result<PodState> {
        let found = self.watch.until(limit, |pod| wanted(&PodState::new(pod.clone())));
        Ok(PodState::new(found.with_context(|| format!("waiting for the pod {}", self.name))?))
    }

    /// The path that the API server has it at.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", pods(), self.name)
    }
}
