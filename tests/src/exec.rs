//! Child processes with a wall-clock bound and a guard: none outlives its owner.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::vm::patient;

/// Long enough for any single act in the lab, short enough to end a hang.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// Lines that an error shows of those that were not the one waited for.
const OTHERS: usize = 60;

/// How long an error waits for the last words of a child that has closed its standard output.
const LAST_WORDS: Duration = Duration::from_secs(1);

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

/// The end of something that a thread waits for: nothing is ever sent, it is disconnected by the thread's end.
#[derive(Debug)]
struct End(Shared<Infallible>);

impl End {
    /// Of what `work` waits for, in a thread of its own.
    fn of(work: impl FnOnce() + Send + 'static) -> Self {
        let (going_on, end) = mpsc::channel();
        std::thread::spawn(move || {
            work();
            drop(going_on);
        });
        Self(Mutex::new(end))
    }

    /// Whether it has come, waited for at most this long.
    fn comes(&self, at_most: Duration) -> bool {
        matches!(receive(&self.0, at_most), Err(RecvTimeoutError::Disconnected))
    }
}

/// What a child writes to a pipe, readable while it does.
#[derive(Debug)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: End,
}

impl Collected {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let all = bytes.clone();
        let end = End::of(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                all.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(chunk.iter().take(length));
            }
        });
        Self { bytes, end }
    }

    /// What there is when the pipe is closed, or after `at_most`; invalid UTF-8 replaced.
    fn text(&self, at_most: Duration) -> String {
        self.end.comes(at_most);
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A running child in its own process group, killed with its group on drop.
#[derive(Debug)]
pub struct Running {
    label: String,
    pid: Pid,
    started: Instant,
    /// None when it has been waited for.
    child: Option<Child>,
    exit: End,
    lines: Shared<String>,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<Collected>,
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
    let stderr = child.stderr.take().map(Collected::of);
    Ok(Running {
        label,
        pid,
        started,
        child: Some(child),
        exit: End::of(move || wait_for_exit(pid)),
        lines: Mutex::new(lines),
        stdout,
        stderr,
        _input: input,
    })
}

/// Runs `command` to its end, killing it after `limit`.
pub fn run(command: Command, limit: Duration) -> Result<Output> {
    spawn(command)?.finish(limit)
}

/// Waits for a child's exit and leaves it a zombie: for as long as it is one, no other process group has its number.
fn wait_for_exit(pid: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {}
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
                Err(error) => {
                    let when = match error {
                        RecvTimeoutError::Timeout => format!("within {limit:?}"),
                        RecvTimeoutError::Disconnected => {
                            self.exit.comes(LAST_WORDS);
                            let flags =
                                WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
                            format!("until its end, {:?}", waitid(Id::Pid(self.pid), flags))
                        }
                    };
                    let stderr = self.stderr.as_ref().map(|stderr| stderr.text(LAST_WORDS));
                    bail!(
                        "no such line from {} {when}, but:\n{}\n--- stderr\n{}",
                        self.label,
                        Vec::from(others).join("\n"),
                        stderr.unwrap_or_default()
                    )
                }
            }
        }
    }

    /// Waits for the end; after `limit`, longer in a machine that is emulated, the whole group is killed and that
    /// is an error.
    pub fn finish(mut self, limit: Duration) -> Result<Output> {
        let limit = patient(limit);
        if !self.exit.comes(limit) {
            self.kill_group();
            let (stdout, stderr) = self.drain();
            bail!(
                "{} did not end within {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                self.label
            );
        }
        let elapsed = self.started.elapsed();
        // A grandchild that kept the pipes open would hold the readers for ever.
        self.kill_group();
        let mut child = self.child.take().context("a child that was waited for")?;
        let status = child.wait().with_context(|| format!("waiting for {}", self.label))?;
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
        let stdout = self.stdout.take().and_then(|thread| thread.join().ok());
        let stderr = self.stderr.take().map(|stderr| stderr.text(Duration::MAX));
        (stdout.unwrap_or_default(), stderr.unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        self.kill_group();
        if self.exit.comes(Duration::from_secs(5)) {
            child.wait().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Running> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        spawn(command)
    }

    #[test]
    fn who_waits_for_a_line_in_vain_is_told_of_the_end_and_the_last_words() -> Result<()> {
        let child = shell("echo one; echo why >&2; exit 3")?;
        let error = child.wait_for_line(DEFAULT_LIMIT, |line| line == "two");
        let error = error.err().context("a line that nobody wrote")?.to_string();
        for told in ["one", "why", &format!("Exited(Pid({}), 3)", child.pid())] {
            ensure!(error.contains(told), "nothing of {told}: {error}");
        }
        child.finish(DEFAULT_LIMIT)?.expect_code(3)?;
        Ok(())
    }

    #[test]
    fn the_number_of_a_group_is_nobody_elses_until_it_was_killed() -> Result<()> {
        let child = shell("exit 0")?;
        let pid = child.pid();
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
        ensure!(child.exit.comes(DEFAULT_LIMIT), "no end");
        ensure!(state()?.contains(") Z "), "{}", state()?);
        drop(child);
        ensure!(state().is_err(), "left a zombie");
        Ok(())
    }
}
