//! Adds to a profile what it does not allow yet, and leaves all else of its file as it was typed.

use std::fmt::Write as _;
use std::path::Path;

use super::group::{Kind, Plan};
use super::wildcard::Wildcards;
use super::{Suggestion, allows, render};
use crate::policy::error::{self, PolicyError};
use crate::policy::profile::Profile;
use crate::yaml::{self, Style, Tail};

/// A profile and the text that it was read from.
#[derive(Clone, Debug)]
pub struct Base {
    source_name: String,
    text: String,
    profile: Profile,
}

/// A profile with what was missing in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The file's text; as it was where nothing was missing.
    pub text: String,
    /// How many rules were added.
    pub added: usize,
}

/// Why nothing can be added to a profile.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The file is written in a way in which no place for more rules can be found.
    #[error("{0}: there is no place for more rules in this file; write `allow` as a list of lines")]
    NoPlace(String),
    /// What would come out is no profile: more than one may hold, usually.
    #[error("the profile with what is missing in it would not be valid")]
    Invalid(#[source] PolicyError),
    /// What would come out does not allow something that was seen.
    #[error("the profile with what is missing in it would still refuse {0}")]
    StillRefused(String),
}

impl Base {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`PolicyError`] if the file cannot be read or is no valid profile.
    pub fn from_file(path: &Path) -> Result<Self, PolicyError> {
        let (name, text) = error::read_file(path)?;
        Self::from_yaml(&name, text)
    }

    /// Takes the text of a profile; `source_name` stands in messages.
    ///
    /// # Errors
    /// [`PolicyError`] if the text is no valid profile.
    pub fn from_yaml(source_name: &str, text: String) -> Result<Self, PolicyError> {
        let profile = Profile::from_yaml(source_name, &text)?;
        Ok(Self { source_name: source_name.to_owned(), text, profile })
    }
}

pub(super) fn merge(
    seen: &Suggestion,
    base: &Base,
    wildcards: Wildcards,
) -> Result<Merged, MergeError> {
    let plan = Plan::new(seen, Some(&base.profile), wildcards);
    if plan.rules.is_empty() {
        return Ok(Merged { text: base.text.clone(), added: 0 });
    }
    let no_place = || MergeError::NoPlace(base.source_name.clone());
    let text = match yaml::tail(&base.text, "spec", "allow").ok_or_else(no_place)? {
        Tail::List(end) => end.insert(&base.text, &lines(&plan, base, end.indent, end.style)),
        Tail::Map(end) => {
            let space = " ".repeat(end.indent);
            let rules = lines(&plan, base, end.indent + 2, end.style);
            let lines = match end.style {
                Style::Block => format!("{space}allow:\n{rules}"),
                Style::Flow => format!("{space}allow: [\n{rules}{space}],\n"),
            };
            end.insert(&base.text, &lines)
        }
    };
    let profile = Profile::from_yaml(&base.source_name, &text).map_err(MergeError::Invalid)?;
    for rule in &plan.rules {
        let private = rule.kind == (Kind::Names { private: true });
        for entry in &rule.entries {
            let allowed = entry.example().is_some_and(|example| {
                rule.ports.iter().all(|port| allows(&profile, &example, *port, private))
            });
            if !allowed {
                return Err(MergeError::StillRefused(entry.text.clone()));
            }
        }
    }
    Ok(Merged { text, added: plan.rules.len() })
}

fn lines(plan: &Plan<'_>, base: &Base, indent: usize, style: Style) -> String {
    let space = " ".repeat(indent);
    let mut text =
        format!("{space}# Suggested by weir from what was seen. Review every entry before use.\n");
    let own = base.profile.dns().names_per_wildcard;
    if let Some(most) = render::names_per_wildcard(plan, own) {
        // Writing to a string cannot fail.
        writeln!(
            text,
            "{space}# WARNING: {most} names were seen below one wildcard; the profile lets a job ask for {own} \
             (`dns.namesPerWildcard`)."
        )
        .unwrap_or_default();
    }
    text.push_str(&render::rules(&plan.rules, indent, style));
    text.push_str(&render::told(plan, indent));
    text
}

#[cfg(test)]
mod tests;
