//! The YAML that weir's files are written in: one document of maps, lists and scalars, each with its place.
//!
//! Everything that lets a file mean more than it shows is refused: aliases and anchors, tags,
//! directives, keys that are not scalars, further documents. Scalars stay text; what a text means is
//! decided by the field it stands in, so that no YAML dialect turns `no` into a boolean.

use std::borrow::Cow;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError};

use super::diagnostic::{Diagnostic, Span};
use super::fault::Fault;
use super::limits;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) span: Span,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Scalar(Scalar<'a>),
    List(Vec<Node<'a>>),
    Map(Vec<(Key<'a>, Node<'a>)>),
}

/// Text, and whether it stood without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) plain: bool,
}

/// A scalar that is not null, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) span: Span,
}

/// A map's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) span: Span,
}

impl Scalar<'_> {
    /// YAML's null: nothing at all, `~` or `null`, without quotes.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_ref(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node<'_> {
    /// YAML's null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }
}

/// Reads the one document of `text`, or `None` if it is empty; the first violation of the grammar ends the
/// reading. `what` names in messages what a file holds.
pub(crate) fn parse<'a>(
    text: &'a str,
    what: &'static str,
) -> Result<Option<Node<'a>>, Diagnostic<Fault>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        strict_indentation: true,
        flow_nesting_limit: limits::NESTING,
        block_nesting_limit: limits::NESTING,
    };
    let mut builder = Builder::new(what);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, place(span.start, span.end))?;
    }
    Ok(builder.root)
}

fn place(start: Marker, end: Marker) -> Span {
    let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 0 };
    Span::new(start.line(), start.col() + 1, length)
}

fn syntax(error: &ScanError) -> Diagnostic<Fault> {
    let span = place(*error.marker(), *error.marker());
    match error.kind() {
        ErrorKind::DirectiveDisallowed => Fault::Directive.at(span),
        ErrorKind::UnknownAnchor => Fault::Alias.at(span),
        ErrorKind::RecursionLimitExceeded => Fault::TooDeep.at(span),
        _ => Fault::Syntax(error.info()).at(span),
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
#[derive(Debug)]
struct Builder<'a> {
    what: &'static str,
    open: Vec<Open<'a>>,
    root: Option<Node<'a>>,
    documents: usize,
    nodes: usize,
}

impl<'a> Builder<'a> {
    const fn new(what: &'static str) -> Self {
        Self { what, open: Vec::new(), root: None, documents: 0, nodes: 0 }
    }

    fn take(&mut self, event: Event<'a>, span: Span) -> Result<(), Diagnostic<Fault>> {
        if event.is_node() {
            self.nodes += 1;
            if self.nodes > limits::NODES {
                return Err(Fault::TooManyNodes.at(span));
            }
            if event.anchor_id().is_some() {
                return Err(Fault::Anchor.at(span));
            }
            if event.tag().is_some() {
                return Err(Fault::Tag.at(span));
            }
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Fault::SeveralDocuments(self.what).at(span));
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => return Err(Fault::Alias.at(span)),
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
    fn no_key_here(&self, span: Span) -> Result<(), Diagnostic<Fault>> {
        match self.open.last() {
            Some(Open::Map(_, _, None)) => Err(Fault::KeyNotScalar.at(span)),
            _ => Ok(()),
        }
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node<'a>) -> Result<(), Diagnostic<Fault>> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, waiting)) => match (waiting.take(), node.value) {
                (Some(key), value) => entries.push((key, Node { value, span: node.span })),
                (None, Value::Scalar(Scalar { text, .. })) => {
                    *waiting = Some(Key { text, span: node.span });
                }
                (None, _) => return Err(Fault::KeyNotScalar.at(node.span)),
            },
        }
        Ok(())
    }
}
