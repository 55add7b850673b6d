//! Search-list noise: questions that a stub resolver makes up while it tries its search list.
//!
//! For `registry.example.com` a stub may first ask `registry.example.com.corp.example.com`, or ask it
//! after a refusal. Nobody meant that name, so it is answered NXDOMAIN and is no violation, provided
//! that the bare name speaks for itself: it is allowed, or its own refusal is on record. If the bare
//! name is yet to come, the refusal is held for a moment, and recorded after all if it does not come.
//! So no name can be asked unseen by dressing it as an expansion; and none of them goes upstream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use weir_ebpf::reason::Reason;

use super::lock;
use crate::policy::{Profile, RuleIndex};

#[cfg(test)]
mod tests;

/// How long a stub may take from an expansion to the bare name: it asks at once, unless it waits for
/// a lost datagram.
const HOLD: Duration = Duration::from_secs(2);
/// How long a refusal on record speaks for the expansions that follow it.
const RECENT: Duration = Duration::from_secs(10);
/// Names remembered, and refusals held, for one pod. Beyond it refusals are recorded at once.
const MAX_NAMES: usize = 64;

/// A refusal that may turn out to be noise.
#[derive(Debug)]
pub(super) struct Held<C> {
    pub(super) client: C,
    pub(super) profile: Arc<Profile>,
    pub(super) name: String,
    pub(super) reason: Reason,
    pub(super) rule: Option<RuleIndex>,
}

/// The expansions of one pod.
pub(super) struct Noise<C> {
    search: Vec<String>,
    state: Mutex<State<C>>,
    changed: Notify,
}

struct State<C> {
    recent: VecDeque<(Box<str>, Instant)>,
    held: VecDeque<(Held<C>, Instant)>,
}

impl<C> Noise<C> {
    pub(super) fn new(search: Vec<String>) -> Self {
        Self {
            search,
            state: Mutex::new(State { recent: VecDeque::new(), held: VecDeque::new() }),
            changed: Notify::new(),
        }
    }

    /// The names that `name` may be an expansion of.
    pub(super) fn bare_names<'n>(&self, name: &'n str) -> impl Iterator<Item = &'n str> {
        self.search.iter().filter_map(move |suffix| bare_name(name, suffix))
    }

    /// Takes note that `name` was asked and refused, which settles the expansions held of it.
    /// Returns whether `name` is itself an expansion of a name refused lately.
    pub(super) fn settle(&self, name: &str, now: Instant) -> bool {
        if self.search.is_empty() {
            return false;
        }
        let mut state = lock(&self.state);
        state.held.retain(|(held, _)| !self.bare_names(&held.name).any(|bare| bare == name));
        while state.recent.front().is_some_and(|(_, since)| now >= *since + RECENT) {
            state.recent.pop_front();
        }
        let spoken_for = self
            .bare_names(name)
            .any(|bare| state.recent.iter().any(|(recent, _)| **recent == *bare));
        if state.recent.len() == MAX_NAMES {
            state.recent.pop_front();
        }
        state.recent.push_back((name.into(), now));
        spoken_for
    }

    /// Holds a refusal back; gives it back if too many are held already.
    pub(super) fn hold(&self, held: Held<C>, now: Instant) -> Result<(), Held<C>> {
        let mut state = lock(&self.state);
        if state.held.len() == MAX_NAMES {
            return Err(held);
        }
        state.held.push_back((held, now + HOLD));
        self.changed.notify_one();
        Ok(())
    }

    /// Waits until a refusal has been held long enough, and takes all of which that is true.
    pub(super) async fn due(&self) -> Vec<Held<C>> {
        loop {
            let next = lock(&self.state).held.front().map(|(_, due)| *due);
            match next {
                None => self.changed.notified().await,
                Some(due) => {
                    tokio::time::sleep_until(due.into()).await;
                    let taken = self.take(Instant::now());
                    if !taken.is_empty() {
                        return taken;
                    }
                }
            }
        }
    }

    /// When all refusals that are held now will have been held long enough.
    pub(super) fn last_due(&self) -> Option<Instant> {
        lock(&self.state).held.back().map(|(_, due)| *due)
    }

    /// Takes every refusal held until `now` or earlier; they are in order of time.
    pub(super) fn take(&self, now: Instant) -> Vec<Held<C>> {
        let mut state = lock(&self.state);
        let due = state.held.iter().take_while(|(_, due)| *due <= now).count();
        state.held.drain(..due).map(|(held, _)| held).collect()
    }

    /// Takes every refusal that is held.
    pub(super) fn take_all(&self) -> Vec<Held<C>> {
        lock(&self.state).held.drain(..).map(|(held, _)| held).collect()
    }
}

/// `name` without `suffix` and the dot before it.
fn bare_name<'n>(name: &'n str, suffix: &str) -> Option<&'n str> {
    name.strip_suffix(suffix)?.strip_suffix('.').filter(|bare| !bare.is_empty())
}
