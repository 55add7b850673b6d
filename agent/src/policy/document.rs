//! A profile file as it stands in a bundle: who gets it, what it includes, and what it says by itself.

use std::path::Path;
use std::sync::Arc;

use super::error::{self, PolicyError};
use super::problem::{Problem, Problems, Report};
use super::profile::{Profile, digest};
use super::selector::Selector;
use super::{decode, limits, resolve};
use crate::yaml::{self, Span};

/// The text of a file, not looked at yet.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
    digest: String,
}

/// One file, read and checked alone.
#[derive(Clone, Debug)]
pub struct Document {
    profile: Arc<Profile>,
    select: Option<Selector>,
    include: Vec<String>,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if it cannot be read or is no text.
    pub fn from_file(path: &Path) -> Result<Self, PolicyError> {
        let (name, text) = error::read_file(path)?;
        Self::from_text(&name, text)
    }

    /// Takes text; `name` stands in messages.
    ///
    /// # Errors
    ///
    /// [`PolicyError::TooLarge`].
    pub fn from_text(name: &str, text: String) -> Result<Self, PolicyError> {
        let name = name.to_owned();
        if text.len() > limits::FILE_BYTES {
            return Err(PolicyError::TooLarge { name });
        }
        let digest = digest(text.as_bytes());
        Ok(Self { name, text, digest })
    }

    /// `sha256:` and the hex digest of its bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the file says.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Invalid`] with everything that is wrong.
    pub fn read(&self) -> Result<Document, PolicyError> {
        let mut problems = Problems::default();
        let document = match yaml::parse(&self.text, "profile") {
            Ok(Some(root)) => {
                let raw = decode::profile(root, &mut problems);
                Some(Document {
                    select: resolve::selector(&raw, &mut problems),
                    include: resolve::include(&raw, &mut problems),
                    profile: Arc::new(resolve::profile(&raw, self.digest.clone(), &mut problems)),
                })
            }
            Ok(None) => {
                problems.push(Span::START, Problem::Empty);
                None
            }
            Err(diagnostic) => {
                problems.push(diagnostic.span, diagnostic.problem);
                None
            }
        };
        match document {
            Some(document) if problems.len() == 0 => Ok(document),
            _ => Err(PolicyError::Invalid(Report::new(&self.name, &self.text, problems))),
        }
    }

    /// The profile of this text with the rules of other texts added to its own. `digest` is the whole's.
    ///
    /// # Errors
    ///
    /// What is wrong with the whole, though nothing is with the parts: the first such problem.
    pub fn join(&self, included: &[&Self], digest: String) -> Result<Profile, Box<Problem>> {
        let mut problems = Problems::default();
        let mut raws = Vec::new();
        for source in [&[self], included].concat() {
            // Each was read before, so there is a document and nothing is wrong with it.
            match yaml::parse(&source.text, "profile") {
                Ok(Some(root)) => raws.push(decode::profile(root, &mut problems)),
                Ok(None) => return Err(Box::new(Problem::Empty)),
                Err(diagnostic) => return Err(Box::new(diagnostic.problem.into())),
            }
        }
        let mut raws = raws.into_iter();
        let mut whole = raws.next().unwrap_or_default();
        for raw in raws {
            whole.allow.extend(raw.allow);
            whole.deny.extend(raw.deny);
        }
        let profile = resolve::profile(&whole, digest, &mut problems);
        problems.into_first().map_or(Ok(profile), |problem| Err(Box::new(problem)))
    }
}

impl Document {
    /// The profile by itself, without what it includes.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Who gets it; nobody but those to whom it is given by name, where it does not say.
    #[must_use]
    pub const fn select(&self) -> Option<&Selector> {
        self.select.as_ref()
    }

    /// The names of the profiles whose rules are this one's too.
    #[must_use]
    pub fn include(&self) -> &[String] {
        &self.include
    }
}
