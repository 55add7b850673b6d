//! What was found: endpoints, defaults that only a client knows, and what stays open, each with its places.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use super::clients::Client;
use super::endpoint::{Endpoint, NoEndpoint};
use super::purpose::Purpose;
use super::sources::{cargo, go};
use crate::policy::printable;

mod gap;
mod place;

pub(super) use gap::{Gap, NotAsked};
pub(super) use place::{Place, Places};

/// Distinct endpoints that are kept. A profile for review has no use for more.
const ENDPOINTS: usize = 2000;
/// Files that leave one client its default, as far as they are kept apart.
const NEEDS: usize = 1000;
/// How much of a path a warning shows.
const PATH: usize = 200;
/// Warnings that are kept.
const WARNINGS: usize = 200;

/// Everything that the files and the clients said.
#[derive(Debug, Default)]
pub(super) struct Findings {
    endpoints: BTreeMap<(Purpose, Endpoint), Places>,
    gaps: BTreeMap<Gap, Places>,
    needs: BTreeMap<Client, Vec<Need>>,
    settled: BTreeMap<Client, BTreeSet<String>>,
    /// What the lock and settings files of cargo say.
    pub(super) cargo: cargo::Facts,
    /// The modules that the files of Go name.
    pub(super) go: go::Facts,
    warnings: Vec<String>,
    more_warnings: usize,
    dropped: usize,
}

/// A file that leaves the choice of a host to its client.
#[derive(Debug)]
struct Need {
    /// Its path from the project's folder.
    file: Rc<str>,
    place: Place,
}

impl Findings {
    /// Writes down where a text leads that `places` hold, or why nowhere.
    pub(super) fn lead(
        &mut self,
        purpose: Purpose,
        lead: Result<Endpoint, NoEndpoint>,
        places: &Places,
    ) {
        let gap = match lead {
            Ok(endpoint) => return self.endpoint(purpose, endpoint, places),
            Err(NoEndpoint::Local) => return,
            Err(NoEndpoint::Variable) => Gap::Variable(purpose),
            Err(NoEndpoint::Unsupported) => Gap::Unsupported(purpose),
            Err(NoEndpoint::DefaultRegistry) => Gap::DefaultRegistry(purpose),
            Err(NoEndpoint::Closed) => Gap::Closed(purpose),
        };
        self.gap(gap, places);
    }

    fn endpoint(&mut self, purpose: Purpose, endpoint: Endpoint, places: &Places) {
        let key = (purpose, endpoint);
        if self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(&key) {
            self.dropped += 1;
        } else {
            self.endpoints.entry(key).or_default().extend(places);
        }
    }

    /// Writes down what stays open.
    pub(super) fn gap(&mut self, gap: Gap, places: &Places) {
        self.gaps.entry(gap).or_default().extend(places);
    }

    /// Adds a line for the user's eyes, already printable.
    pub(super) fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS {
            self.warnings.push(warning);
        } else {
            self.more_warnings += 1;
        }
    }

    /// Writes down that the file at the path `file` leaves `client` its default.
    pub(super) fn need(&mut self, client: Client, file: &Rc<str>, place: Place) {
        let needs = self.needs.entry(client).or_default();
        if needs.len() < NEEDS {
            needs.push(Need { file: file.clone(), place });
        }
    }

    /// Adds a line about the file at `path`.
    pub(super) fn warn_of(&mut self, path: &str, error: &dyn fmt::Display) {
        self.warn(format!("{} could not be read: {error}", printable(path, PATH)));
    }

    /// Declares that nothing at or below `path` (from the project's folder; empty is all of it) needs the
    /// default of `client`.
    pub(super) fn settle(&mut self, client: Client, path: &str) {
        self.settled.entry(client).or_default().insert(path.to_owned());
    }

    /// The places that need the default of `client`, as far as no file settles them.
    pub(super) fn unsettled(&self, client: Client) -> Places {
        let none = BTreeSet::new();
        let settled = self.settled.get(&client).unwrap_or(&none);
        let mut places = Places::default();
        for need in self.needs.get(&client).into_iter().flatten() {
            if !ancestors(&need.file).any(|path| settled.contains(path)) {
                places.add(need.place.clone());
            }
        }
        places
    }

    /// Every endpoint, by purpose.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (Purpose, &Endpoint, &Places)> {
        self.endpoints.iter().map(|((purpose, endpoint), places)| (*purpose, endpoint, places))
    }

    /// What stays open.
    pub(super) fn gaps(&self) -> impl Iterator<Item = (&Gap, &Places)> {
        self.gaps.iter()
    }

    /// The warnings, and what was left out for its number.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.warnings);
        if self.more_warnings > 0 {
            warnings.push(format!("and {} more warnings", self.more_warnings));
        }
        if self.dropped > 0 {
            let dropped = self.dropped;
            warnings.push(format!(
                "{dropped} mentions of hosts beyond the first {ENDPOINTS} were left out"
            ));
        }
        warnings
    }
}

/// `a/b/c`, `a/b`, `a` and the empty path.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let path = next?;
        next = match path.rsplit_once('/') {
            Some((parent, _)) => Some(parent),
            None if path.is_empty() => None,
            None => Some(""),
        };
        Some(path)
    })
}
