//! What a file may hold at most: a hostile or broken one costs bounded memory and time.

/// YAML nodes (keys, values, lists, maps) in a file.
pub(crate) const NODES: usize = 400_000;
/// How deep lists and maps may nest; the deepest schema needs six.
pub(crate) const NESTING: usize = 16;
/// Errors that one report lists, the first ones of the file; the rest are counted.
pub(crate) const PROBLEMS_SHOWN: usize = 20;
/// Errors that are kept to find the first ones among them.
pub(crate) const PROBLEMS_KEPT: usize = 1000;
