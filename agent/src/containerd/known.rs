//! What the watcher has told of, so that nothing is told twice, a sandbox is told as gone only with the last
//! of its processes, and strangers cost one question.

use std::collections::{HashMap, HashSet, VecDeque};

use super::id::SandboxId;

/// Ids of other containers that are remembered.
const STRANGERS: usize = 4096;

/// What an id was told as.
#[derive(Debug)]
enum Told {
    Sandbox {
        /// The pause process; none once it has ended while containers of the sandbox run on.
        pause: Option<u32>,
    },
    Container {
        pid: u32,
        /// None if that could not be read.
        sandbox: Option<SandboxId>,
    },
}

impl Told {
    /// Its process, if it is a container of this sandbox.
    fn process_in(&self, id: &str) -> Option<u32> {
        match self {
            Self::Container { pid, sandbox: Some(sandbox) } => {
                (sandbox.as_str() == id).then_some(*pid)
            }
            Self::Container { .. } | Self::Sandbox { .. } => None,
        }
    }
}

/// What has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A sandbox, with the last of its processes.
    Sandbox(String),
    /// A container.
    Container(String),
}

/// Ids by what they are. What was told is bounded by what runs on the machine.
#[derive(Debug, Default)]
pub(super) struct Known {
    told: HashMap<String, Told>,
    strangers: HashSet<String>,
    /// Strangers in the order they came, and perhaps some that have been forgotten since.
    order: VecDeque<String>,
}

impl Known {
    /// Whether a start of this process needs no question: it was told, or is no business of a pod's.
    pub(super) fn is_old(&self, id: &str, started: u32) -> bool {
        match self.told.get(id) {
            Some(Told::Sandbox { pause }) => *pause == Some(started),
            Some(Told::Container { pid, .. }) => *pid == started,
            None => self.strangers.contains(id),
        }
    }

    /// Whether this sandbox was told and is not gone.
    pub(super) fn has_sandbox(&self, id: &SandboxId) -> bool {
        matches!(self.told.get(id.as_str()), Some(Told::Sandbox { .. }))
    }

    /// The first process of some container of a sandbox.
    pub(super) fn container_of(&self, sandbox: &str) -> Option<u32> {
        self.told.values().find_map(|told| told.process_in(sandbox))
    }

    /// A sandbox with its pause process, or without one when only containers of it run.
    pub(super) fn tell_sandbox(&mut self, id: &str, pause: Option<u32>) {
        self.told.insert(id.to_owned(), Told::Sandbox { pause });
    }

    pub(super) fn tell_container(&mut self, id: &str, pid: u32, sandbox: Option<SandboxId>) {
        self.told.insert(id.to_owned(), Told::Container { pid, sandbox });
    }

    /// Remembers a container that is neither sandbox nor container of one.
    pub(super) fn set_aside(&mut self, id: &str) {
        if !self.strangers.insert(id.to_owned()) {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > STRANGERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.strangers.remove(&oldest);
        }
    }

    /// The end of a process; what has ended with it, of what was told. An older process of the same id (a
    /// late event) ends nothing. containerd gives process 0 where a dead shim left no other.
    pub(super) fn end(&mut self, id: &str, ended: u32) -> Vec<Ended> {
        let is_told = |told: u32| ended == told || ended == 0 || told == 0;
        match self.told.get_mut(id) {
            Some(Told::Sandbox { pause }) if pause.is_some_and(is_told) => {
                *pause = None;
                self.end_sandbox(id).into_iter().collect()
            }
            Some(Told::Container { pid, .. }) if is_told(*pid) => {
                let Some(Told::Container { sandbox, .. }) = self.told.remove(id) else {
                    return Vec::new();
                };
                let sandbox = sandbox.and_then(|sandbox| self.end_sandbox(sandbox.as_str()));
                [Ended::Container(id.to_owned())].into_iter().chain(sandbox).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Forgets a sandbox of which nothing runs any more.
    fn end_sandbox(&mut self, id: &str) -> Option<Ended> {
        let pauses = !matches!(self.told.get(id), Some(Told::Sandbox { pause: None }));
        if pauses || self.container_of(id).is_some() {
            return None;
        }
        self.told.remove(id);
        Some(Ended::Sandbox(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(id: &str) -> SandboxId {
        SandboxId::new(id).expect("an id")
    }

    fn gone(id: &str) -> Ended {
        Ended::Sandbox(id.to_owned())
    }

    fn ended(id: &str) -> Ended {
        Ended::Container(id.to_owned())
    }

    #[test]
    fn an_end_counts_once_and_only_for_its_own_process() {
        let mut known = Known::default();
        known.tell_sandbox("a", Some(7));
        assert!(known.is_old("a", 7) && !known.is_old("a", 8));
        assert_eq!(known.end("a", 6), []);
        assert_eq!(known.end("b", 7), []);
        assert_eq!(known.end("a", 7), [gone("a")]);
        assert_eq!(known.end("a", 7), []);
        known.tell_container("c", 9, None);
        assert_eq!(known.end("c", 0), [ended("c")]);
    }

    #[test]
    fn a_sandbox_is_gone_with_the_last_of_its_processes() {
        let mut known = Known::default();
        known.tell_sandbox("a", Some(7));
        known.tell_container("build", 8, Some(sandbox("a")));
        known.tell_container("helper", 9, Some(sandbox("a")));
        known.tell_container("other", 10, Some(sandbox("b")));
        assert_eq!(known.end("helper", 9), [ended("helper")]);
        assert_eq!(known.end("a", 7), []);
        assert!(known.has_sandbox(&sandbox("a")) && !known.is_old("a", 7));
        // The pause process is buried as well: the same end again.
        assert_eq!(known.end("a", 7), []);
        assert_eq!(known.end("other", 10), [ended("other")]);
        assert_eq!(known.end("build", 8), [ended("build"), gone("a")]);
        assert!(!known.has_sandbox(&sandbox("a")));
    }

    #[test]
    fn a_sandbox_whose_pause_process_is_dead_is_known_by_its_containers() {
        let mut known = Known::default();
        known.tell_sandbox("a", None);
        known.tell_container("build", 8, Some(sandbox("a")));
        assert_eq!(known.end("a", 7), []);
        assert_eq!(known.end("build", 8), [ended("build"), gone("a")]);
    }

    #[test]
    fn strangers_are_bounded_and_the_oldest_forgotten() {
        let mut known = Known::default();
        for number in 0..3 * STRANGERS {
            known.set_aside(&number.to_string());
            known.set_aside(&number.to_string());
        }
        assert_eq!((known.strangers.len(), known.order.len()), (STRANGERS, STRANGERS));
        assert!(!known.is_old("0", 1));
        assert!(known.is_old(&(3 * STRANGERS - 1).to_string(), 1));
        assert!(known.is_old(&(2 * STRANGERS).to_string(), 1));
    }
}
