//! What the watcher has told of, so that nothing is told twice and strangers cost one question.

use std::collections::{HashMap, HashSet, VecDeque};

/// Ids of other containers that are remembered.
const STRANGERS: usize = 4096;

/// What an id was told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sandbox,
    Container,
}

/// Ids by what they are. What was told is bounded by what runs on the machine.
#[derive(Debug, Default)]
pub(super) struct Known {
    told: HashMap<String, (Kind, u32)>,
    strangers: HashSet<String>,
    /// Strangers in the order they came, and perhaps some that have been forgotten since.
    order: VecDeque<String>,
}

impl Known {
    /// Whether a start of this process needs no question: it was told, or is no business of a pod's.
    pub(super) fn is_old(&self, id: &str, pid: u32) -> bool {
        self.told.get(id).is_some_and(|(_, told)| *told == pid) || self.strangers.contains(id)
    }

    pub(super) fn tell(&mut self, id: &str, kind: Kind, pid: u32) {
        self.told.insert(id.to_owned(), (kind, pid));
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

    /// The end of a process; what it was, if it was told. An older process of the same id (a late event)
    /// is none. containerd gives process 0 where a dead shim left no other.
    pub(super) fn end(&mut self, id: &str, pid: u32) -> Option<Kind> {
        let (kind, told) = *self.told.get(id)?;
        if pid != told && pid != 0 && told != 0 {
            return None;
        }
        self.told.remove(id);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_once_and_only_for_its_own_process() {
        let mut known = Known::default();
        known.tell("a", Kind::Sandbox, 7);
        assert!(known.is_old("a", 7) && !known.is_old("a", 8));
        assert_eq!(known.end("a", 6), None);
        assert_eq!(known.end("b", 7), None);
        assert_eq!(known.end("a", 7), Some(Kind::Sandbox));
        assert_eq!(known.end("a", 7), None);
        known.tell("c", Kind::Container, 9);
        assert_eq!(known.end("c", 0), Some(Kind::Container));
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
