//! The YAML that profiles are written in: one document of maps, lists and scalars, each with its place.
//!
//! Everything that lets a file mean more than it shows is refused: aliases and anchors, tags,
//! directives, keys that are not scalars, further documents. Scalars stay text; what a text means is
//! decided by the field it stands in, so that no YAML dialect turns `no` into a boolean.

use std::borrow::Cow;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError};

use super::diagnostic::{Diagnostic, Span};
use super::limits;
use super::problem::Problem;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node<'a> {
    pub(super) value: Value<'a>,
    pub(super) span: Span,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Scalar(Scalar<'a>),
    List(Vec<Node<'a>>),
    Map(Vec<(Key<'a>, Node<'a>)>),
}

/// Text, and whether it stood without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) plain: bool,
}

/// A map's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) span: Span,
}

impl Scalar<'_> {
    /// YAML's null: nothing at all, `~` or `null`, without quotes.
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_ref(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// Reads the one document of `text`; the first violation of the grammar ends the reading.
pub(super) fn parse(text: &str) -> Result<Node<'_>, Diagnostic> {
    let options = granit_parser::options! {
        disallow_directives: true,
        strict_indentation: true,
        flow_nesting_limit: limits::NESTING,
        block_nesting_limit: limits::NESTING,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, place(span.start, span.end))?;
    }
    builder.root.ok_or_else(|| Problem::Empty.at(Span::START))
}

fn place(start: Marker, end: Marker) -> Span {
    let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 0 };
    Span::new(start.line(), start.col() + 1, length)
}

fn syntax(error: &ScanError) -> Diagnostic {
    let span = place(*error.marker(), *error.marker());
    match error.kind() {
        ErrorKind::DirectiveDisallowed => Problem::Directive.at(span),
        ErrorKind::UnknownAnchor => Problem::Alias.at(span),
        ErrorKind::RecursionLimitExceeded => Problem::TooDeep.at(span),
        _ => Problem::Syntax(error.info()).at(span),
    }
}

/// A list or map whose end has not been seen.
#[derive(Debug)]
enum Open<'a> {
    List(Span, Vec<Node<'a>>),
    /// With the key that waits for its value.
    Map(Span, Vec<(Key<'a>, Node<'a>)>, Option<Key<'a>>),
}

/// Builds the tree from the parser's events, with a stack of its own.
#[derive(Debug, Default)]
struct Builder<'a> {
    open: Vec<Open<'a>>,
    root: Option<Node<'a>>,
    documents: usize,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'a>, span: Span) -> Result<(), Diagnostic> {
        if event.is_node() {
            self.nodes += 1;
            if self.nodes > limits::NODES {
                return Err(Problem::TooManyNodes.at(span));
            }
            if event.anchor_id().is_some() {
                return Err(Problem::Anchor.at(span));
            }
            if event.tag().is_some() {
                return Err(Problem::Tag.at(span));
            }
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::SeveralDocuments.at(span));
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => return Err(Problem::Alias.at(span)),
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                return self.place(Node { value: Value::Scalar(Scalar { text, plain }), span });
            }
            Event::SequenceStart(..) => {
                self.no_key_here(span)?;
                self.open.push(Open::List(span, Vec::new()));
            }
            Event::MappingStart(..) => {
                self.no_key_here(span)?;
                self.open.push(Open::Map(span, Vec::new(), None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::List(span, items)) => Node { value: Value::List(items), span },
                    Some(Open::Map(span, entries, _)) => Node { value: Value::Map(entries), span },
                    None => return Ok(()),
                };
                return self.place(node);
            }
            _ => {}
        }
        Ok(())
    }

    /// A list or map cannot begin where a map waits for its next key.
    fn no_key_here(&self, span: Span) -> Result<(), Diagnostic> {
        match self.open.last() {
            Some(Open::Map(_, _, None)) => Err(Problem::KeyNotScalar.at(span)),
            _ => Ok(()),
        }
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node<'a>) -> Result<(), Diagnostic> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, waiting)) => match (waiting.take(), node.value) {
                (Some(key), value) => entries.push((key, Node { value, span: node.span })),
                (None, Value::Scalar(Scalar { text, .. })) => {
                    *waiting = Some(Key { text, span: node.span });
                }
                (None, _) => return Err(Problem::KeyNotScalar.at(node.span)),
            },
        }
        Ok(())
    }
}
