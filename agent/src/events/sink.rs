//! Where records go: a thread that writes lines, behind a bounded queue in which each pod has its share. A sink
//! that is slow or fails costs records, which are counted, never enforcement.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use super::{
    queue::{FairQueue, Share},
    record::Record,
};

/// Records that may wait for the writer.
const QUEUE: usize = 8192;

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
    /// The writer's thread could not be started.
    #[error("starting the events writer")]
    Thread(#[source] io::Error),
}

/// Takes records and writes them in the background.
#[derive(Debug)]
pub struct Sink {
    queue: Option<Arc<FairQueue<Vec<u8>>>>,
    writer: Option<JoinHandle<Option<io::Error>>>,
    dropped: Arc<AtomicU64>,
}

/// How the writing went.
#[derive(Debug, Default)]
pub struct SinkReport {
    /// Records that were not written.
    pub dropped: u64,
    /// The first failure.
    pub error: Option<io::Error>,
}

impl Sink {
    /// A sink that takes everything and writes nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { queue: None, writer: None, dropped: Arc::default() }
    }

    /// A sink that appends to a file, or writes to standard output when the path is `-`.
    ///
    /// # Errors
    ///
    /// [`SinkError`].
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        if path == Path::new("-") {
            return Self::new(io::stdout());
        }
        Self::new(append(path)?)
    }

    /// A sink that writes to standard output, appends to a file, or both.
    ///
    /// # Errors
    ///
    /// [`SinkError`].
    pub fn open_all(stdout: bool, file: Option<&Path>) -> Result<Self, SinkError> {
        match (stdout, file) {
            (false, None) => Ok(Self::none()),
            (true, None) => Self::new(io::stdout()),
            (false, Some(path)) => Self::open(path),
            (true, Some(path)) => Self::new(Both(io::stdout(), append(path)?)),
        }
    }

    fn new(output: impl Write + Send + 'static) -> Result<Self, SinkError> {
        let queue = Arc::new(FairQueue::new(QUEUE));
        let lines = Arc::clone(&queue);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        let writer = thread::Builder::new()
            .name("weir-events".to_owned())
            .spawn(move || write_all(output, &lines, &count))
            .map_err(SinkError::Thread)?;
        Ok(Self { queue: Some(queue), writer: Some(writer), dropped })
    }

    /// Takes a record, and says whether there was room for it in the share of whom it is of. Waits for room until
    /// then, where a time is given.
    pub fn write(&self, share: &Arc<Share>, record: &Record, until: Option<Instant>) -> bool {
        let Some(queue) = &self.queue else { return true };
        let text = serde_json::to_string(record);
        let taken = text.is_ok_and(|text| queue.push(share, one_line(&text), until));
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Waits until all that was taken is written.
    #[must_use]
    pub fn finish(mut self) -> SinkReport {
        self.close();
        let error = self.writer.take().and_then(|writer| writer.join().unwrap_or(None));
        SinkReport { dropped: self.dropped.load(Ordering::Relaxed), error }
    }

    fn close(&self) {
        if let Some(queue) = &self.queue {
            queue.close();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

fn append(path: &Path) -> Result<File, SinkError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|source| SinkError::Open { path: path.to_owned(), source })
}

/// Writes everything twice. Where one fails the other has it all the same.
struct Both<A, B>(A, B);

impl<A: Write, B: Write> Write for Both<A, B> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let first = self.0.write_all(line);
        self.1.write_all(line)?;
        first.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let first = self.0.flush();
        self.1.flush()?;
        first
    }
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

/// Writes lines until the queue closes. After a failure it goes on trying: a full disk may have room
/// again. Returns the first failure.
fn write_all(
    mut output: impl Write,
    lines: &FairQueue<Vec<u8>>,
    dropped: &AtomicU64,
) -> Option<io::Error> {
    let mut first_error = None;
    while let Some(line) = lines.pop() {
        if let Err(error) = output.write_all(&line).and_then(|()| output.flush()) {
            dropped.fetch_add(1, Ordering::Relaxed);
            if first_error.is_none() {
                tracing::warn!(%error, "event records cannot be written");
                first_error = Some(error);
            }
        }
    }
    first_error
}

#[cfg(test)]
mod tests;
