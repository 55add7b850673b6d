//! A headless Chromium without a network, driven over its `DevTools` protocol by pipe.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Most time for one answer, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a browser may take to end when it is told to.
const END: Duration = Duration::from_secs(10);

/// A page in a browser of its own, which ends with all its processes on drop.
#[derive(Debug)]
pub struct Page {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    next_id: u64,
    requests: Vec<String>,
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Page {
    /// Opens a file, and returns once it is loaded with all that it asks for.
    pub fn open(file: &Path) -> Result<Self> {
        let mut page = Self::start()?;
        let made = page.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let target = made.pointer("/targetId").context("no target")?;
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = page.call("Target.attachToTarget", &attach)?;
        let session = attached.pointer("/sessionId").and_then(Value::as_str);
        page.session = Some(session.context("no session")?.to_owned());
        for domain in ["Page", "Network", "Log", "Runtime"] {
            page.call(&format!("{domain}.enable"), &json!({}))?;
        }
        let url = format!("file://{}", file.display());
        let navigated = page.call("Page.navigate", &json!({ "url": url }))?;
        ensure!(navigated.get("errorText").is_none(), "{url}: {navigated}");
        page.wait_for("Page.loadEventFired")?;
        Ok(page)
    }

    /// What a script that the page does not know of finds in it: the value of an expression, or of its promise.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &asked)?;
        ensure!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        Ok(answer.pointer("/result/value").cloned().unwrap_or_default())
    }

    /// Shows the page as on a screen or on paper, and light or dark.
    pub fn show_as(&mut self, media: &str, scheme: &str) -> Result<()> {
        let scheme = json!({ "name": "prefers-color-scheme", "value": scheme });
        let asked = json!({ "media": media, "features": [scheme] });
        self.call("Emulation.setEmulatedMedia", &asked).map(drop)
    }

    /// Every address that the page has asked for, itself included.
    #[must_use]
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    /// What the browser had to say against the page: errors, and what its policy refused.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        // The protocol takes descriptors 3 and 4; the network namespace has nothing in it.
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"]);
        command.args(["chromium", "--headless", "--no-sandbox", "--disable-gpu"]);
        command.args(["--disable-background-networking", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        // Whatever it leaves goes with the profile.
        command.env("TMPDIR", profile.path()).env("HOME", profile.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().context("starting chromium")?;
        let (commands, output) = (child.stdin.take(), child.stdout.take());
        let output = output.context("no output")?;
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap_or_default();
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            commands: commands.context("no input")?,
            messages,
            session: None,
            next_id: 0,
            requests: Vec::new(),
            complaints: Vec::new(),
            _profile: profile,
        })
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.next_id += 1;
        let message = match &self.session {
            None => json!({ "id": self.next_id, "method": method, "params": parameters }),
            Some(session) => json!({
                "id": self.next_id, "method": method, "params": parameters, "sessionId": session,
            }),
        };
        write!(self.commands, "{message}\0").with_context(|| format!("calling {method}"))?;
        let id = self.next_id;
        let answer = self.receive(method, |message| message.get("id") == Some(&json!(id)))?;
        match answer.get("error") {
            Some(error) => bail!("{method}: {error}"),
            None => Ok(answer.get("result").cloned().unwrap_or_default()),
        }
    }

    fn wait_for(&mut self, event: &str) -> Result<Value> {
        self.receive(event, |message| message.get("method") == Some(&json!(event)))
    }

    /// The next message that is wanted; what others tell of the page is noted.
    fn receive(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message =
                self.messages.recv_timeout(left).with_context(|| format!("waiting for {what}"))?;
            self.note(&message);
            if wanted(&message) {
                return Ok(message);
            }
        }
    }

    fn note(&mut self, message: &Value) {
        let text = |pointer: &str| message.pointer(pointer).map(ToString::to_string);
        match message.get("method").and_then(Value::as_str) {
            Some("Network.requestWillBeSent") => {
                let url = message.pointer("/params/request/url").and_then(Value::as_str);
                self.requests.extend(url.map(str::to_owned));
            }
            Some("Log.entryAdded") => self.complaints.extend(text("/params/entry")),
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => {
                self.complaints.extend(text("/params"));
            }
            _ => {}
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Told to, it ends its processes itself, and none of them writes to the profile any more.
        self.session = None;
        let told = self.call("Browser.close", &json!({}));
        let deadline = Instant::now() + END;
        // Its output ends with it.
        while told.is_ok() {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.messages.recv_timeout(left).is_err() {
                break;
            }
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // ESRCH: the group is gone already, which is what is wanted.
            killpg(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        self.child.wait().ok();
    }
}
