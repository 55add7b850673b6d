//! What tests publish on hosts of their choice.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A body and its media type.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// As in `Content-Type`.
    pub kind: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Pages by host, each with the end of its path.
#[derive(Debug, Default)]
pub(super) struct Pages {
    of_host: Mutex<HashMap<String, Vec<(String, Page)>>>,
}

impl Pages {
    pub(super) fn publish(&self, host: &str, ending: &str, page: Page) {
        let mut hosts = self.of_host.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(host.to_owned()).or_default().push((ending.to_owned(), page));
    }

    /// Whether anything is published on `host`.
    pub(super) fn has(&self, host: &str) -> bool {
        self.of_host.lock().unwrap_or_else(PoisonError::into_inner).contains_key(host)
    }

    /// The page at `path` of `host`.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<Page> {
        let hosts = self.of_host.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pages = hosts.get(host)?.iter().rev();
        pages.find(|(ending, _)| path.ends_with(ending.as_str())).map(|(_, page)| page.clone())
    }
}
