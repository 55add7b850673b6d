//! Strict YAML: the files that people write for weir, read with the place of every value.
//!
//! A file becomes a tree (`tree`), the tree is taken apart by known keys (`shape`), and whatever is
//! wrong is collected and shown with its line (`diagnostic`). `append` finds where a file can be added to. What a value means is the business of
//! whoever reads it; profiles and the agent's configuration are read so.
//!
//! Invariant: a key that the reader does not know is an error, never ignored.

mod append;
mod diagnostic;
mod fault;
mod file;
mod limits;
mod nearest;
mod shape;
mod tree;

pub(crate) use append::{Style, Tail, tail};
pub use diagnostic::{Diagnostic, Report, Span};
pub(crate) use diagnostic::{Printable, Problems, shown};
pub use fault::Fault;
pub(crate) use file::{ReadError, read};
pub(crate) use nearest::nearest;
pub(crate) use shape::{Field, boolean, entries, fields, list, text, text_or_texts, texts};
pub(crate) use tree::{Node, Text, Value, parse};
