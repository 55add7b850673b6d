//! Finds answers for all pods: the shared cache, and one question upstream for all who wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::cache::Cache;
use super::entry::Entry;
use super::lock;
use super::reply::ExtendedError;
use super::settings::ResolverSettings;
use super::statistics::Statistics;
use super::upstream::Client;
use super::upstreams::Upstreams;

#[cfg(test)]
mod tests;

/// Where those who wait for a question's answer find it.
type Landing = watch::Receiver<Option<Arc<Entry>>>;

/// What all listeners of the agent share: cache, upstream servers and limits.
pub struct Resolver {
    client: Client,
    settings: ResolverSettings,
    cache: Cache,
    /// Questions that are being asked now.
    flights: Mutex<HashMap<Box<[u8]>, Landing>>,
    upstream_slots: Semaphore,
    statistics: Statistics,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver with an empty cache. It starts nothing by itself.
    #[must_use]
    pub fn new(upstreams: Upstreams, settings: ResolverSettings) -> Arc<Self> {
        Arc::new(Self {
            client: Client::new(upstreams),
            cache: Cache::new(settings.cache_entries, settings.cache_bytes),
            flights: Mutex::default(),
            upstream_slots: Semaphore::new(settings.upstream_queries),
            settings,
            statistics: Statistics::default(),
        })
    }

    /// The servers that are asked.
    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        self.client.upstreams()
    }

    /// What became of all questions.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    pub(super) fn settings(&self) -> &ResolverSettings {
        &self.settings
    }

    /// The answer to the question `key`, if one is kept that a profile with this `max_ttl` would
    /// still believe at `now`.
    pub(super) fn cached(&self, key: &[u8], max_ttl: Duration, now: Instant) -> Option<Arc<Entry>> {
        self.cache.get(key).filter(|entry| now < entry.expires(max_ttl))
    }

    /// Asks upstream, together with everybody who asks the same just now; `max_ttl` as for
    /// [`Self::cached`].
    pub(super) async fn ask(
        self: &Arc<Self>,
        name: &[u8],
        qtype: u16,
        key: &[u8],
        max_ttl: Duration,
    ) -> Arc<Entry> {
        let mut landing = {
            let mut flights = lock(&self.flights);
            if let Some(flight) = flights.get(key) {
                flight.clone()
            } else if let Some(landed) = self.cached(key, max_ttl, Instant::now()) {
                // It landed after the caller looked into the cache: a flight is in the cache before it
                // leaves this list.
                return landed;
            } else {
                let (sender, receiver) = watch::channel(None);
                flights.insert(key.into(), receiver.clone());
                let flight = Flight { resolver: Arc::clone(self), key: key.into() };
                tokio::spawn(flight.fly(name.to_vec(), qtype, sender));
                receiver
            }
        };
        match landing.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(entry)) => Arc::clone(entry),
            // The task is gone without a word: it panicked, or the runtime ends.
            Ok(None) | Err(_) => Arc::new(self.failed(ExtendedError::new(
                ExtendedError::OTHER,
                "weir: asking upstream was broken off",
            ))),
        }
    }

    /// How many more questions could be asked at this moment.
    pub(super) fn free_slots(&self) -> usize {
        self.upstream_slots.available_permits()
    }

    fn failed(&self, failure: ExtendedError) -> Entry {
        Entry::failed(failure, Instant::now(), self.settings.failure_ttl)
    }
}

/// One question on its way; takes itself off the list however it ends.
struct Flight {
    resolver: Arc<Resolver>,
    key: Box<[u8]>,
}

impl Flight {
    async fn fly(self, name: Vec<u8>, qtype: u16, landing: watch::Sender<Option<Arc<Entry>>>) {
        let resolver = &self.resolver;
        // Closed never, so waiting fails never.
        let _slot = resolver.upstream_slots.acquire().await;
        let begun = Instant::now();
        let outcome = resolver.client.ask(&name, qtype, &resolver.settings).await;
        resolver.statistics.waited(begun.elapsed());
        let entry = Arc::new(outcome.unwrap_or_else(|failure| resolver.failed(failure)));
        if entry.expires(Duration::MAX) > Instant::now() {
            resolver.cache.insert(&self.key, Arc::clone(&entry));
        }
        landing.send_replace(Some(entry));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        lock(&self.resolver.flights).remove(&self.key);
    }
}
