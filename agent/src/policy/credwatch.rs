//! The credential files that a profile watches, in the form in which the kernel programs compare paths.

use weir_ebpf::credential::{
    COMPONENTS, NAME_BYTES, NAME_WORDS, Name, NamePattern, PATTERNS, PathPattern, PathPatterns,
    kind,
};

/// Tokens of service accounts, as the kubelet projects them: a link leads to a folder with a time for its name.
const TOKENS: [&str; 1] = ["**/serviceaccount/*/token"];

/// Paths that one profile may name.
pub(super) const PATHS: usize = PATTERNS - TOKENS.len();

/// Why text is no path that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Neither form.
    #[error("begin it with `/`, or with `**/` for any folder")]
    Relative,
    /// `a//b`, `a/.`, `a/..`, or a `/` at the end.
    #[error("an empty part, `.` and `..` match nothing")]
    EmptyPart,
    /// A `*` that is not at the end of a part.
    #[error("`*` stands for one part or for the end of one, and `**` only at the beginning")]
    Star,
    /// A part is too long to be compared whole.
    #[error("a part has more than {max} bytes", max = NAME_BYTES - 1)]
    LongPart,
    /// It goes too deep.
    #[error("it has more than {COMPONENTS} parts")]
    Deep,
    /// A part holds a zero byte.
    #[error("a zero byte is in no file name")]
    Zero,
    /// Everything.
    #[error("it matches every file")]
    Everything,
}

/// Paths that are watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WatchedPath {
    text: String,
}

/// What a profile says of credential files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialWatch {
    /// At most as many as the kernel's table has places; not empty where the profile watches anything.
    pub(super) paths: Vec<WatchedPath>,
    /// Reads are refused.
    pub(super) block: bool,
}

impl WatchedPath {
    /// Reads a path or pattern.
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        compile(text).map(|_| Self { text: text.to_owned() })
    }
}

impl CredentialWatch {
    /// Whether anything is watched.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Whether reads are refused.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        self.block
    }

    /// The patterns as the kernel programs have them.
    #[must_use]
    pub fn for_kernel(&self) -> PathPatterns {
        let mut patterns = PathPatterns::default();
        // What does not compile was refused when the profile was read.
        let compiled = self.texts().filter_map(|text| compile(text).ok());
        for (place, pattern) in patterns.patterns.iter_mut().zip(compiled) {
            *place = pattern;
            patterns.count += 1;
        }
        patterns
    }

    /// The text of the pattern with a number, as records name it.
    #[must_use]
    pub fn text(&self, pattern: u32) -> Option<&str> {
        match pattern {
            kind::ENVIRONMENT => Some("/proc/*/environ"),
            kind::MEMORY => Some("/proc/*/mem"),
            _ => self.texts().nth(usize::try_from(pattern).ok()?),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| path.text.as_str()).chain(TOKENS)
    }
}

fn compile(text: &str) -> Result<PathPattern, PathError> {
    let (rest, anchored) = match (text.strip_prefix("**/"), text.strip_prefix('/')) {
        (Some(rest), _) => (rest, 0),
        (None, Some(rest)) => (rest, 1),
        (None, None) => return Err(PathError::Relative),
    };
    let mut pattern = PathPattern { anchored, ..PathPattern::default() };
    let mut places = pattern.components.iter_mut();
    let mut names_something = anchored == 1;
    for part in rest.rsplit('/') {
        names_something |= part != "*";
        *places.next().ok_or(PathError::Deep)? = component(part)?;
        pattern.count += 1;
    }
    if names_something { Ok(pattern) } else { Err(PathError::Everything) }
}

fn component(part: &str) -> Result<NamePattern, PathError> {
    if matches!(part, "" | "." | "..") {
        return Err(PathError::EmptyPart);
    }
    let (name, ends) = part.strip_suffix('*').map_or((part, 1), |start| (start, 0));
    if name.contains('*') {
        return Err(PathError::Star);
    }
    if name.contains('\0') {
        return Err(PathError::Zero);
    }
    let length = name.len();
    if length >= NAME_BYTES {
        return Err(PathError::LongPart);
    }
    let value = words(name.bytes());
    // The zero behind a whole name counts.
    let mask = words(std::iter::repeat_n(0xff, length + ends));
    Ok(NamePattern { value, mask })
}

fn words(bytes: impl Iterator<Item = u8>) -> Name {
    let mut padded = [0; NAME_BYTES];
    for (place, byte) in padded.iter_mut().zip(bytes) {
        *place = byte;
    }
    let mut name = [0; NAME_WORDS];
    for (word, bytes) in name.iter_mut().zip(padded.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    name
}

#[cfg(test)]
mod tests;
