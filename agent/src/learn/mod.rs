//! From event records to profiles: what passed becomes a suggestion, for all records together, or for each project or
//! profile.
//!
//! Invariant: what only the job says never becomes a selection.

mod group;
mod observe;
mod output;

use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    events::{
        read::{self, Entry, PassedOver, ReadError, Source},
        record::Kind,
    },
    policy::{Heading, Suggestion},
    system::utc,
};

use group::{Group, Paths};

pub use output::{File, OutputError, files, write_all};

/// Groups that are told apart; records of more are not used, and said.
const GROUPS: usize = 4096;

/// What gets a profile of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each project of the CI platform.
    Project,
    /// Each profile that was in force.
    Profile,
}

/// What was learned from records.
#[derive(Debug)]
pub struct Learned {
    per: Option<Per>,
    lessons: BTreeMap<Group, Lesson>,
    /// Records that were read.
    pub records: u64,
    /// Records of groups beyond those that are told apart.
    pub of_too_many_groups: u64,
    /// What could not be used of the files.
    pub passed_over: PassedOver,
}

/// What was learned of one group.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// What passed, and what did not.
    pub suggestion: Suggestion,
    paths: Paths,
    records: u64,
    lost: u64,
    first: SystemTime,
    last: SystemTime,
}

/// Reads records and learns from them.
///
/// # Errors
/// [`ReadError`] where a source cannot be read.
pub fn learn(sources: &[Source], per: Option<Per>) -> Result<Learned, ReadError> {
    let mut learned = Learned::new(per);
    learned.passed_over = read::read(sources, |entry| learned.add(&entry))?;
    Ok(learned)
}

impl Learned {
    fn new(per: Option<Per>) -> Self {
        let lessons = BTreeMap::new();
        let passed_over = PassedOver::default();
        Self { per, lessons, records: 0, of_too_many_groups: 0, passed_over }
    }

    fn add(&mut self, entry: &Entry) {
        self.records += 1;
        let record = &entry.record;
        let group = match self.per {
            None => Group::All,
            Some(Per::Profile) => Group::of_profile(record),
            Some(Per::Project) => Group::of_project(record),
        };
        if self.lessons.len() >= GROUPS && !self.lessons.contains_key(&group) {
            self.of_too_many_groups += 1;
            return;
        }
        let lesson = self.lessons.entry(group).or_insert_with(|| Lesson {
            suggestion: Suggestion::default(),
            paths: Paths::default(),
            records: 0,
            lost: 0,
            first: entry.since,
            last: entry.at,
        });
        lesson.records += 1;
        lesson.first = lesson.first.min(entry.since);
        lesson.last = lesson.last.max(entry.at);
        lesson.paths.add(record);
        if record.kind == Kind::Lost {
            lesson.lost = lesson.lost.saturating_add(record.count);
        }
        observe::observe(&mut lesson.suggestion, entry);
    }

    /// What was learned of all records together; none where there was no record, or where groups are told apart.
    #[must_use]
    pub fn all(&self) -> Option<&Lesson> {
        self.lessons.get(&Group::All)
    }

    /// One warning for each thing that a person should know of the files.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.passed_over.warnings();
        if self.of_too_many_groups > 0 {
            warnings.push(format!(
                "{} records of more than {GROUPS} groups are not used; give fewer files",
                self.of_too_many_groups
            ));
        }
        warnings
    }
}

impl Lesson {
    /// What the profile is to say besides its rules.
    #[must_use]
    pub fn heading(&self, name: &str) -> Heading {
        Heading { name: name.to_owned(), selector: None, notes: self.notes() }
    }

    fn notes(&self) -> Vec<String> {
        let plural = if self.records == 1 { "" } else { "s" };
        let (first, last) = (utc::format(self.first), utc::format(self.last));
        let mut notes = vec![format!("{} record{plural}, {first} to {last}.", self.records)];
        if self.lost > 0 {
            notes.push(format!(
                "WARNING: weir could not record {} events; something may be missing here.",
                self.lost
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests;
