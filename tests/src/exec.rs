//! Child processes with a wall-clock bound and a guard: none outlives its owner.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::unistd::Pid;

use crate::vm::patient;

/// Long enough for any single act in the lab, short enough to end a hang.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// Lines that an error shows of those that were not the one waited for.
const OTHERS: usize = 60;

/// What a finished command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; 128 + the signal's number when a signal ended it.
    pub code: i32,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// From spawn to exit.
    pub elapsed: Duration,
}

impl Output {
    /// This output, or an error that shows both streams when the code is not `code`.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "expected exit code {code}, got {}", self.describe());
        Ok(self)
    }

    /// Code, time and both streams, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "exit code {} after {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.elapsed, self.stdout, self.stderr
        )
    }
}

/// A receiver that threads may share.
type Shared<T> = Mutex<mpsc::Receiver<T>>;

fn receive<T>(from: &Shared<T>, at_most: Duration) -> Result<T, RecvTimeoutError> {
    from.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(at_most)
}

/// A running child in its own process group, killed with its group on drop.
#[derive(Debug)]
pub struct Running {
    label: String,
    pid: Pid,
    started: Instant,
    exit: Shared<io::Result<ExitStatus>>,
    lines: Shared<String>,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    status: Option<ExitStatus>,
    _input: Option<ChildStdin>,
}

/// Starts `command` in its own process group with no standard input and both outputs captured.
pub fn spawn(command: Command) -> Result<Running> {
    let label = label_of(&command);
    spawn_as(command, label)
}

/// As [`spawn`], with a standard input that stays open for as long as the child is held.
pub fn spawn_with_input(command: Command) -> Result<Running> {
    let label = label_of(&command);
    start(command, label, Stdio::piped())
}

/// A test run started in the background of a script ignores Ctrl-C, and a shell cannot trap what was
/// ignored from its start.
fn hear_interrupts() -> io::Result<()> {
    for interrupt in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the default disposition runs no code of this program.
        unsafe { signal(interrupt, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// [`spawn`], named `label` in messages.
pub fn spawn_as(command: Command, label: String) -> Result<Running> {
    start(command, label, Stdio::null())
}

fn start(mut command: Command, label: String, input: Stdio) -> Result<Running> {
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: setting dispositions is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(hear_interrupts) };
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting {label}"))?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let (line_sender, lines) = mpsc::channel();
    // Taken: waiting for a child closes what it still holds.
    let input = child.stdin.take();
    let stdout = child.stdout.take().map(|pipe| {
        std::thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                text.push_str(&line);
                text.push('\n');
                // The receiver goes away with its owner; the text is still collected.
                line_sender.send(line).ok();
            }
            text
        })
    });
    let stderr = child.stderr.take().map(|mut pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).ok();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    });
    Ok(Running {
        label,
        pid,
        started,
        exit: Mutex::new(wait_in_thread(child)),
        lines: Mutex::new(lines),
        stdout,
        stderr,
        status: None,
        _input: input,
    })
}

/// Runs `command` to its end, killing it after `limit`.
pub fn run(command: Command, limit: Duration) -> Result<Output> {
    spawn(command)?.finish(limit)
}

fn wait_in_thread(mut child: Child) -> mpsc::Receiver<io::Result<ExitStatus>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait()).ok());
    receiver
}

fn label_of(command: &Command) -> String {
    let words: Vec<OsString> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(Into::into).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

impl Running {
    /// The child's process id in this pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends `signal` to the child alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).with_context(|| format!("sending {signal} to {}", self.label))
    }

    /// The next line of standard output for which `wanted` holds, waited for at most `limit`, or for longer in a
    /// machine that is emulated.
    pub fn wait_for_line(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let limit = patient(limit);
        let deadline = Instant::now() + limit;
        let mut others = VecDeque::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match receive(&self.lines, left) {
                Ok(line) if wanted(&line) => return Ok(line),
                Ok(line) => {
                    if others.len() == OTHERS {
                        others.pop_front();
                    }
                    others.push_back(line);
                }
                Err(_) => {
                    let others = Vec::from(others).join("\n");
                    bail!("no such line from {} within {limit:?}, but:\n{others}", self.label)
                }
            }
        }
    }

    /// Waits for the end; after `limit`, longer in a machine that is emulated, the whole group is killed and that
    /// is an error.
    pub fn finish(mut self, limit: Duration) -> Result<Output> {
        let limit = patient(limit);
        let Ok(status) = receive(&self.exit, limit) else {
            self.kill_group();
            let (stdout, stderr) = self.drain();
            bail!(
                "{} did not end within {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                self.label
            );
        };
        let status = status.with_context(|| format!("waiting for {}", self.label))?;
        self.status = Some(status);
        let elapsed = self.started.elapsed();
        // A grandchild that kept the pipes open would hold the readers for ever.
        self.kill_group();
        let (stdout, stderr) = self.drain();
        let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
        Ok(Output {
            code: code.context("an exit without code or signal")?,
            stdout,
            stderr,
            elapsed,
        })
    }

    fn kill_group(&self) {
        // ESRCH: the group is gone already, which is what is wanted.
        killpg(self.pid, Signal::SIGKILL).ok();
    }

    fn drain(&mut self) -> (String, String) {
        let take = |handle: Option<JoinHandle<String>>| {
            handle.and_then(|thread| thread.join().ok()).unwrap_or_default()
        };
        (take(self.stdout.take()), take(self.stderr.take()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
        if self.status.is_none() {
            receive(&self.exit, Duration::from_secs(5)).ok();
        }
    }
}
