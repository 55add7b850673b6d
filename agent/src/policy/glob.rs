//! Patterns over paths: `group/app`, `group/*`, `group/**`, `release/v*`.
//!
//! `*` stands for any text without a slash, the empty text included; `**` as a whole part stands for one or more
//! parts. Everything else stands for itself. Matching takes at most the product of both lengths.

use std::fmt;

#[cfg(test)]
mod tests;

/// The longest pattern, in bytes; longer than any path of a project or name of a branch.
const BYTES: usize = 1024;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Glob {
    text: String,
    case: Case,
}

/// Whether `A` is `a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Case {
    /// It is: paths of projects and groups, which GitLab and GitHub tell apart by more than that.
    Folded,
    /// It is not: branches and tags.
    Kept,
}

/// Why text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GlobError {
    /// Nothing, or too much.
    #[error("expected 1 to {BYTES} bytes")]
    Length,
    /// A part without text: `a//b`, `/a`, `a/`.
    #[error("a slash stands between two parts: `a/b`")]
    EmptyPart,
    /// `**` beside other text.
    #[error("`**` stands for whole parts: `group/**`; within one part use `*`")]
    Doubled,
    /// A character that no path has.
    #[error("spaces and control characters stand in no path")]
    Character,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`GlobError`].
    pub(super) fn parse(text: &str, case: Case) -> Result<Self, GlobError> {
        if text.is_empty() || text.len() > BYTES {
            return Err(GlobError::Length);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(GlobError::Character);
        }
        for part in text.split('/') {
            if part.is_empty() {
                return Err(GlobError::EmptyPart);
            }
            if part.contains("**") && part != "**" {
                return Err(GlobError::Doubled);
            }
        }
        let text = match case {
            Case::Folded => text.to_ascii_lowercase(),
            Case::Kept => text.to_owned(),
        };
        Ok(Self { text, case })
    }

    /// Whether a path is one of those that the pattern stands for.
    pub(super) fn matches(&self, path: &str) -> bool {
        let folded;
        let path = match self.case {
            Case::Folded => {
                folded = path.to_ascii_lowercase();
                &folded
            }
            Case::Kept => path,
        };
        let pattern: Vec<&str> = self.text.split('/').collect();
        let path: Vec<&str> = path.split('/').collect();
        matches(&pattern, &path, |part| *part == "**", |pattern, part| is_part(pattern, part), 1)
    }

    /// Whether it stands for one path alone.
    pub(super) fn is_exact(&self) -> bool {
        !self.text.contains('*')
    }

    /// How many bytes stand for themselves.
    pub(super) fn literal(&self) -> usize {
        self.text.bytes().filter(|byte| *byte != b'*').count()
    }
}

/// A part against a part of a pattern.
fn is_part(pattern: &str, part: &str) -> bool {
    let any = |byte: &u8| *byte == b'*';
    matches(pattern.as_bytes(), part.as_bytes(), any, |one, other| one == other, 0)
}

/// A list against a pattern in which an item that `is_any` stands for `least` items or more. Of what stands for any
/// number, only the last has to be tried again: whatever an earlier one could take over, it can too.
fn matches<P, T>(
    pattern: &[P],
    items: &[T],
    is_any: impl Fn(&P) -> bool,
    is_one: impl Fn(&P, &T) -> bool,
    least: usize,
) -> bool {
    let (mut at, mut item) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), items.get(item)) {
            (Some(any), _) if is_any(any) => {
                if items.len() < item + least {
                    return false;
                }
                item += least;
                at += 1;
                retry = Some((at, item));
            }
            (Some(one), Some(other)) if is_one(one, other) => {
                at += 1;
                item += 1;
            }
            (None, None) => return true,
            (_, rest) => {
                // The item may be one of those that the last `any` stands for.
                let Some((after, from)) = retry.filter(|_| rest.is_some()) else { return false };
                retry = Some((after, from + 1));
                (at, item) = (after, from + 1);
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
