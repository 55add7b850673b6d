//! What can be wrong with the YAML of any file: its grammar, and the keys and shapes of its maps.

use super::diagnostic::{Diagnostic, Span};
use super::limits;

/// One kind of mistake, with what a message needs to name it. Text from the file is kept printable
/// and short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The YAML grammar is violated.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// More than one document.
    #[error("a second document begins here; a file holds exactly one {0}")]
    SeveralDocuments(&'static str),
    /// `*name`, or the merge of one.
    #[error("aliases are not supported; write the value out")]
    Alias,
    /// `&name`.
    #[error("anchors are not supported; write the value out where it is needed")]
    Anchor,
    /// `!tag`.
    #[error("tags are not supported; write the plain value")]
    Tag,
    /// `%YAML` and the like.
    #[error("directives are not supported; leave the `%` line out")]
    Directive,
    /// A list or map as key.
    #[error("a key must be plain text, not a list or map")]
    KeyNotScalar,
    /// Lists and maps inside each other, deeper than any file needs.
    #[error("lists and maps are nested more than {} deep", limits::NESTING)]
    TooDeep,
    /// More nodes than any file needs.
    #[error("the file holds more than {} YAML values", limits::NODES)]
    TooManyNodes,
    /// A key that the schema does not know.
    #[error("unknown field `{field}` in {place}{}", did_you_mean(*.nearest))]
    UnknownField {
        /// The key as typed.
        field: String,
        /// The map it stands in.
        place: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key given twice in one map.
    #[error("duplicate field `{field}` in {place}; it was first given in line {first_line}")]
    DuplicateField {
        /// The key.
        field: &'static str,
        /// The map it stands in.
        place: String,
        /// Where it was given first.
        first_line: usize,
    },
    /// A key of the user's given twice in one map.
    #[error("duplicate key `{key}` in {place}; it was first given in line {first_line}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The map it stands in.
        place: String,
        /// Where it was given first.
        first_line: usize,
    },
    /// A key that must be there is not.
    #[error("missing field `{field}` in {place}")]
    MissingField {
        /// The key.
        field: &'static str,
        /// The map it should stand in.
        place: String,
    },
    /// A list where text is wanted, and so on.
    #[error("{what}: expected {expected}, found {found}")]
    WrongType {
        /// The field.
        what: String,
        /// What the schema wants there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A word outside a closed set.
    #[error("{what}: unknown value `{found}`, expected {expected}{}", did_you_mean(*.nearest))]
    UnknownValue {
        /// The field.
        what: &'static str,
        /// The word as typed.
        found: String,
        /// The words that may stand there.
        expected: &'static str,
        /// The word that was probably meant.
        nearest: Option<&'static str>,
    },
}

impl Fault {
    pub(super) fn at(self, span: Span) -> Diagnostic<Self> {
        Diagnostic { span, problem: self }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}
