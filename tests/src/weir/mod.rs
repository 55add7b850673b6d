//! Runs the built `weir` as a user would, and reads back what it recorded.

mod event;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub use self::event::Event;
use crate::exec::{self, DEFAULT_LIMIT, Output, Running};
use crate::lab::{Client, Lab};
use crate::programs;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The built program: `WEIR_BINARY`, else beside the running test's own build results.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WEIR_BINARY") {
        return Ok(path.into());
    }
    let path = programs::target_folder()?.join("weir");
    ensure!(path.is_file(), "no {}: build it with `cargo build --package weir`", path.display());
    Ok(path)
}

/// Where a command runs.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// The client's machine of a lab.
    Client(&'a Client),
    /// This machine, with its own network; only for what is about its own services.
    Machine,
}

/// One `weir run` to be: options first, then [`Self::run`] or [`Self::start`].
#[derive(Clone, Debug)]
pub struct Invocation<'a> {
    place: Place<'a>,
    folder: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    events: PathBuf,
    suggestion: PathBuf,
    profile: PathBuf,
    limit: Duration,
}

/// What a finished run left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code and both streams of `weir run`, the command's own included.
    pub output: Output,
    /// Every record, each validated against the schema.
    pub events: Vec<Event>,
    /// The profile that `--suggest` wrote.
    pub suggestion: Option<String>,
}

/// A run under way.
#[derive(Debug)]
pub struct Started {
    process: Running,
    files: (PathBuf, PathBuf),
}

impl Lab {
    /// `weir run` on the client's machine.
    #[must_use]
    pub fn weir(&self) -> Invocation<'_> {
        Invocation::new(Place::Client(&self.client), self.folder())
    }
}

impl<'a> Invocation<'a> {
    /// `weir run` on this very machine, its files in `folder`.
    #[must_use]
    pub fn on_this_machine(folder: &Path) -> Invocation<'static> {
        Invocation::new(Place::Machine, folder)
    }

    fn new(place: Place<'a>, folder: &Path) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| folder.join(format!("{kind}-{number}"));
        Self {
            place,
            folder: folder.to_path_buf(),
            options: Vec::new(),
            environment: Vec::new(),
            events: file("events.jsonl"),
            suggestion: file("suggested.yaml"),
            profile: file("profile.yaml"),
            limit: DEFAULT_LIMIT,
        }
    }

    /// With this profile; see [`crate::profile`].
    pub fn profile(self, text: &str) -> Result<Self> {
        std::fs::write(&self.profile, text).context("writing a profile")?;
        let path = self.profile.to_string_lossy().into_owned();
        Ok(self.option("--profile").option(&path))
    }

    /// With one more word before `--`.
    #[must_use]
    pub fn option(mut self, word: &str) -> Self {
        self.options.push(word.to_owned());
        self
    }

    /// With `--audit`.
    #[must_use]
    pub fn audit(self) -> Self {
        self.option("--audit")
    }

    /// With `--suggest`, into a file of its own.
    #[must_use]
    pub fn suggest(self) -> Self {
        let path = self.suggestion.to_string_lossy().into_owned();
        self.option("--suggest").option(&path)
    }

    /// With an environment variable for weir and the command.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Killed after this time.
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The file given to `--profile`.
    #[must_use]
    pub fn profile_path(&self) -> &Path {
        &self.profile
    }

    /// The whole command line.
    pub fn command_line<S: AsRef<str>>(&self, argv: &[S]) -> Result<Vec<String>> {
        let mut line = vec![binary()?.to_string_lossy().into_owned(), "run".to_owned()];
        if !self.options.iter().any(|option| option == "--events") {
            line.extend(["--events".to_owned(), self.events.to_string_lossy().into_owned()]);
        }
        line.extend(self.options.iter().cloned());
        line.push("--".to_owned());
        line.extend(argv.iter().map(|word| word.as_ref().to_owned()));
        Ok(line)
    }

    /// Runs `argv` under weir to its end.
    pub fn run<S: AsRef<str>>(&self, argv: &[S]) -> Result<Outcome> {
        self.start(argv)?.finish(self.limit)
    }

    /// Starts `argv` under weir.
    pub fn start<S: AsRef<str>>(&self, argv: &[S]) -> Result<Started> {
        let line = self.command_line(argv)?;
        let mut command = match self.place {
            Place::Client(client) => client.command(&line),
            Place::Machine => {
                let (program, rest) = line.split_first().context("an empty command line")?;
                let mut command = Command::new(program);
                command.args(rest).current_dir(&self.folder);
                command
            }
        };
        command.envs(self.environment.iter().cloned());
        let process = exec::spawn_as(command, line.join(" "))?;
        Ok(Started { process, files: (self.events.clone(), self.suggestion.clone()) })
    }
}

impl Started {
    /// The running `weir run`, for signals and output.
    #[must_use]
    pub const fn process(&self) -> &Running {
        &self.process
    }

    /// The records so far.
    pub fn events(&self) -> Result<Vec<Event>> {
        events(&self.files.0)
    }

    /// Waits for the end, at most `limit`.
    pub fn finish(self, limit: Duration) -> Result<Outcome> {
        let output = self.process.finish(limit)?;
        let events = events(&self.files.0)?;
        let suggestion = std::fs::read_to_string(&self.files.1).ok();
        Ok(Outcome { output, events, suggestion })
    }
}

impl Outcome {
    /// This outcome, or an error that shows everything when the code is not `code`.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(self.output.code == code, "expected exit code {code}, got {}", self.describe());
        Ok(self)
    }

    /// The violations among the records.
    pub fn violations(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.kind() == "violation")
    }

    /// The violation for which `wanted` holds, or an error that shows everything.
    pub fn violation(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Result<&Event> {
        self.violations()
            .find(|event| wanted(event))
            .with_context(|| format!("no violation {what} in {}", self.describe()))
    }

    /// Output and records, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let events: Vec<String> = self.events.iter().map(ToString::to_string).collect();
        format!("{}\n--- events\n{}", self.output.describe(), events.join("\n"))
    }
}

/// Every line of `path` as a validated record; no file is no record.
pub(crate) fn events(path: &Path) -> Result<Vec<Event>> {
    events_in(path, |_line| true)
}

/// The lines of `path` that are `wanted`, as validated records: the others cost nothing.
pub(crate) fn events_in(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Event>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A line without its end is still being written.
    let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    whole.lines().filter(|line| wanted(line)).map(read_event).collect()
}

fn read_event(line: &str) -> Result<Event> {
    // Text of a job must not reach a terminal raw, not even inside a JSON string.
    ensure!(!line.chars().any(char::is_control), "a control character in {line:?}");
    Ok(Event::new(RECORDS.read(line)?))
}

/// What a job got from `http://weir.internal/?format=json`, validated; it must be one line of printable ASCII.
pub fn page(body: &str) -> Result<Value> {
    let line = body.strip_suffix('\n').with_context(|| format!("not a line: {body:?}"))?;
    ensure!(line.chars().all(|one| matches!(one, ' '..='~')), "not plain ASCII: {line:?}");
    PAGE.read(line)
}

static RECORDS: Schema = Schema::new("records");
static PAGE: Schema = Schema::new("page");

/// A schema that `weir schema` prints, compiled once per process.
struct Schema {
    of: &'static str,
    compiled: OnceLock<Result<jsonschema::Validator, String>>,
}

impl Schema {
    const fn new(of: &'static str) -> Self {
        Self { of, compiled: OnceLock::new() }
    }

    fn read(&self, line: &str) -> Result<Value> {
        let value: Value =
            serde_json::from_str(line).with_context(|| format!("parsing {line:?}"))?;
        let compile = || compile(self.of).map_err(|error| format!("{error:#}"));
        let compiled = self.compiled.get_or_init(compile);
        let validator = compiled.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        if let Err(error) = validator.validate(&value) {
            anyhow::bail!("it breaks the schema of {}: {error}: {line}", self.of);
        }
        Ok(value)
    }
}

fn compile(of: &str) -> Result<jsonschema::Validator> {
    let mut command = Command::new(binary()?);
    command.args(["schema", of]);
    let output = exec::run(command, DEFAULT_LIMIT)?.expect_code(0)?;
    let schema = serde_json::from_str(&output.stdout).context("parsing weir's schema")?;
    jsonschema::validator_for(&schema).map_err(|error| anyhow::anyhow!("weir's schema: {error}"))
}
