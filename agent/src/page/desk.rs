//! What one pod's requests may cost: few at a time, one report for all that wait, and pauses between reports.
//!
//! A report reads the pod's tables, which takes longer the more the pod was refused: milliseconds to tenths of a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::sleep_until,
};

use super::report::Report;

/// Requests of one pod that are answered at one time.
const SEATS: usize = 8;
/// A pause is so many times as long as the report before it: one pod has a tenth of a processor.
const PAUSE: u32 = 9;

/// Reports of all pods that are made at one time. Who waits is served in turn, and a pod waits with one request only.
static TURN: Semaphore = Semaphore::const_new(1);

/// Where one pod's requests for reports come in.
#[derive(Debug)]
pub struct Desk {
    seats: Arc<Semaphore>,
    latest: Arc<Mutex<Latest>>,
}

/// The latest report.
#[derive(Debug)]
struct Latest {
    /// When it was begun; whoever asked before that is told all he wants to know.
    begun: Option<Instant>,
    report: Option<Arc<Report>>,
    /// When the next one may be begun.
    next: Instant,
}

impl Default for Desk {
    fn default() -> Self {
        let latest = Latest { begun: None, report: None, next: Instant::now() };
        Self { seats: Arc::new(Semaphore::new(SEATS)), latest: Arc::new(Mutex::new(latest)) }
    }
}

impl Desk {
    /// Admits a request, if there are not too many.
    #[must_use]
    pub fn seat(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.seats).try_acquire_owned().ok()
    }

    /// A report that was begun after this call; `read` makes it, unless another request's does.
    pub async fn report(
        &self,
        read: impl FnOnce() -> Option<Report> + Send + 'static,
    ) -> Option<Arc<Report>> {
        let asked = Instant::now();
        let mut latest = Arc::clone(&self.latest).lock_owned().await;
        if latest.begun.is_some_and(|begun| begun >= asked) {
            return latest.report.clone();
        }
        sleep_until(latest.next.into()).await;
        // Never closed.
        let turn = TURN.acquire().await.ok()?;
        // What is begun is ended, and paid for, also when nobody waits for it any more.
        let made = spawn_blocking(move || {
            let begun = Instant::now();
            let report = read().map(Arc::new);
            drop(turn);
            let took = begun.elapsed();
            *latest = Latest {
                begun: Some(begun),
                report: report.clone(),
                next: Instant::now() + took.saturating_mul(PAUSE).min(LONGEST_PAUSE),
            };
            report
        });
        made.await.ok().flatten()
    }
}

/// No reading takes so long that its job would have to wait longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
