//! Hands records on: to standard output, a file, a collector, each by a thread of its own behind a bounded queue in which
//! each pod has its share. A place that is slow or fails costs records, which are counted, never enforcement, and
//! never another place's.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    output::{Line, Lines, Otlp, Output, Refused, RotatingFile, Rotation, StartError},
    queue::{FairQueue, QUEUES, Share},
    record::Record,
};
use crate::config;

/// Records that may wait for each place.
const QUEUE: usize = 8192;
/// How long a batch is filled.
const FILL: Duration = Duration::from_secs(1);

/// A sink that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file cannot be written.
    #[error("opening the events file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The collector cannot be talked to.
    #[error("`events.otlp`")]
    Otlp(#[from] StartError),
    /// The writer's thread could not be started.
    #[error("starting the events writer")]
    Thread(#[source] io::Error),
}

/// Takes records and hands them on in the background.
#[derive(Debug, Default)]
pub struct Sink {
    branches: Vec<Branch>,
    overflowed: AtomicU64,
}

/// The way to one place.
#[derive(Debug)]
struct Branch {
    name: &'static str,
    queue: Arc<FairQueue<Line>>,
    account: Arc<BranchAccount>,
    writer: Option<JoinHandle<Option<io::Error>>>,
}

#[derive(Debug, Default)]
struct BranchAccount {
    written: AtomicU64,
    failed: AtomicU64,
    /// Somebody has waited for room in vain since the place last took something.
    is_stuck: AtomicBool,
}

impl Branch {
    /// Puts a line in; waits for room until then, but not where others have waited in vain: a place that hangs must
    /// not hold up each pod's start and end.
    fn push(&self, share: &Arc<Share>, line: Line, until: Option<Instant>) -> bool {
        let until = until.filter(|_| !self.account.is_stuck.load(Ordering::Relaxed));
        let has_room = self.queue.push(share, line, until);
        if !has_room && until.is_some() {
            self.account.is_stuck.store(true, Ordering::Relaxed);
        }
        has_room
    }
}

/// How the writing went.
#[derive(Debug, Default)]
pub struct SinkReport {
    /// Records that some place did not get.
    pub dropped: u64,
    /// The first failure.
    pub error: Option<io::Error>,
}

impl Sink {
    /// A sink that takes everything and writes nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A sink that appends to a file, or writes to standard output when the path is `-`.
    ///
    /// # Errors
    ///
    /// [`SinkError`].
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        let mut sink = Self::none();
        if path == Path::new("-") {
            sink.add("stdout", Lines(io::stdout()))?;
        } else {
            sink.add("file", file(path, None)?)?;
        }
        Ok(sink)
    }

    /// A sink that writes to all that the configuration names; `node` is the node's name.
    ///
    /// # Errors
    ///
    /// [`SinkError`].
    pub fn open_all(events: &config::Events, node: &str) -> Result<Self, SinkError> {
        let mut sink = Self::none();
        if events.stdout {
            sink.add("stdout", Lines(io::stdout()))?;
        }
        if let Some(path) = &events.file {
            let size = u64::from(events.file_mebibytes.get()) << 20;
            sink.add("file", file(path, Some(Rotation { size, keep: events.file_keep.get() }))?)?;
        }
        if let Some(endpoint) = &events.otlp {
            sink.add("otlp", Otlp::new(endpoint, node)?)?;
        }
        Ok(sink)
    }

    fn add(&mut self, name: &'static str, output: impl Output + 'static) -> Result<(), SinkError> {
        let number = self.branches.len();
        debug_assert!(number < QUEUES, "a queue without a share");
        let queue = Arc::new(FairQueue::new(QUEUE, number));
        let account = Arc::<BranchAccount>::default();
        let (lines, counts) = (Arc::clone(&queue), Arc::clone(&account));
        let writer = thread::Builder::new()
            .name("weir-events".to_owned())
            .spawn(move || write_all(output, name, &lines, &counts))
            .map_err(SinkError::Thread)?;
        self.branches.push(Branch { name, queue, account, writer: Some(writer) });
        Ok(())
    }

    /// Takes a record, and says whether there was room for it everywhere in the share of whom it is of. Waits for room
    /// until then, where a time is given.
    pub fn write(&self, share: &Arc<Share>, record: &Record, until: Option<Instant>) -> bool {
        if self.branches.is_empty() {
            return true;
        }
        // Never fails for the types of this program.
        let Ok(text) = serde_json::to_string(record) else { return false };
        let line: Line = one_line(&text).into();
        let mut has_room = true;
        for branch in &self.branches {
            has_room &= branch.push(share, Arc::clone(&line), until);
        }
        if !has_room {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// Records that found no room somewhere.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Records that some place did not take.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.branches.iter().map(|branch| branch.account.failed.load(Ordering::Relaxed)).sum()
    }

    /// How many records each place has taken, with its name.
    pub fn written(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |branch: &Branch| branch.account.written.load(Ordering::Relaxed);
        self.branches.iter().map(move |branch| (branch.name, count(branch)))
    }

    /// Waits until all that was taken is handed on; a collector that does not take it is given up.
    #[must_use]
    pub fn finish(mut self) -> SinkReport {
        self.close();
        let mut error = None;
        for branch in &mut self.branches {
            let ended = branch.writer.take().and_then(|writer| writer.join().unwrap_or(None));
            error = error.or(ended);
        }
        SinkReport { dropped: self.overflowed() + self.failed(), error }
    }

    fn close(&self) {
        for branch in &self.branches {
            branch.queue.close();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

fn file(path: &Path, rotation: Option<Rotation>) -> Result<RotatingFile, SinkError> {
    let failed = |source| SinkError::Open { path: path.to_owned(), source };
    RotatingFile::open(path, rotation).map_err(failed)
}

/// A record's text as one line. The serialiser escapes the control characters below space; those that
/// terminals also obey (DEL, C1) and those that some readers take for a line's end are escaped here.
/// In JSON they can only stand inside strings.
fn one_line(json: &str) -> Vec<u8> {
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}') {
            let _infallible = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line.into_bytes()
}

/// Hands lines on until the queue closes, and goes on after a failure. Returns the first one.
fn write_all(
    mut output: impl Output,
    name: &'static str,
    lines: &FairQueue<Line>,
    account: &BranchAccount,
) -> Option<io::Error> {
    let mut first_error = None;
    let mut batch = Vec::new();
    while let Some(line) = lines.pop() {
        batch.clear();
        batch.push(line);
        let until = Instant::now() + FILL;
        while batch.len() < output.batch()
            && let Some(line) = lines.pop_until(until)
        {
            batch.push(line);
        }
        let taken = output.take(&batch, &|| lines.is_closed());
        let all = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let failed = taken.as_ref().map_or_else(|refused| refused.records, |()| 0);
        account.written.fetch_add(all.saturating_sub(failed), Ordering::Relaxed);
        account.failed.fetch_add(failed, Ordering::Relaxed);
        if failed < all {
            account.is_stuck.store(false, Ordering::Relaxed);
        }
        if let Err(Refused { error, .. }) = taken
            && first_error.is_none()
        {
            tracing::warn!(output = name, %error, "event records cannot be written");
            first_error = Some(error);
        }
    }
    first_error
}

#[cfg(test)]
mod tests;
