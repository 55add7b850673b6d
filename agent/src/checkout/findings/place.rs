//! Evidence: the lines and commands that say so.

use std::fmt;
use std::rc::Rc;

use crate::policy::printable;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::checkout) enum Place {
    /// A line of a file, from 1.
    Line {
        /// Its path from the project's folder.
        file: Rc<str>,
        line: usize,
    },
    /// A client's own word: what it was asked by.
    Client(Rc<str>),
}

/// All places of one thing: the first few, and how many more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::checkout) struct Places {
    first: Vec<Place>,
    more: usize,
}

impl Places {
    /// How many are named.
    const NAMED: usize = 3;

    /// One place.
    pub(in crate::checkout) fn of(place: Place) -> Self {
        Self { first: vec![place], more: 0 }
    }

    /// A line of a file, from 1.
    pub(in crate::checkout) fn line(file: &str, line: usize) -> Self {
        Self::of(Place::Line { file: file.into(), line })
    }

    /// The word of a client, and the places that made weir ask it.
    pub(in crate::checkout) fn answer(word: &str, asked_for: &Self) -> Self {
        let mut places = Self::of(Place::Client(word.into()));
        places.extend(asked_for);
        places
    }

    /// One more, unless it is known.
    pub(in crate::checkout) fn add(&mut self, place: Place) {
        if self.first.contains(&place) {
            return;
        }
        if self.first.len() < Self::NAMED {
            self.first.push(place);
        } else {
            self.more += 1;
        }
    }

    /// All those of `others`.
    pub(in crate::checkout) fn extend(&mut self, others: &Self) {
        for place in &others.first {
            self.add(place.clone());
        }
        self.more += others.more;
    }

    /// Nothing said so.
    pub(in crate::checkout) const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

impl fmt::Display for Place {
    /// On one line, in printable ASCII: names of files are the checkout's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer than any path that a person made.
        const LONGEST: usize = 200;
        match self {
            Self::Line { file, line } => write!(f, "{}:{line}", printable(file, LONGEST)),
            Self::Client(word) => f.write_str(&printable(word, LONGEST)),
        }
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, place) in self.first.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{place}")?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}
