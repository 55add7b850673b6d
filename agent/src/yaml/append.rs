//! Where a list of a file ends, so that something can be added there and all else stays as it was typed.

use std::ops::Range;

use granit_parser::{Event, Parser, Span};

/// A place for more entries of a list, and how they have to be written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListEnd {
    /// Spaces in front of each line.
    pub(crate) indent: usize,
    /// `Flow`: entries stand between brackets, each with a comma behind it. Else each has a dash before it.
    pub(crate) style: Style,
    /// Where the lines go in, in bytes.
    at: usize,
    /// Brackets that have to go, of a list that was written `[]`.
    brackets: Range<usize>,
    /// Where a comma has to stand before that.
    comma: Option<usize>,
    /// What stands behind the lines needs a line of its own.
    breaks: bool,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// In lines that begin with a dash.
    Block,
    /// Between brackets.
    Flow,
}

impl ListEnd {
    /// The text with these lines added, each of which ends with a newline.
    pub(crate) fn insert(&self, text: &str, lines: &str) -> String {
        let part = |range: Range<usize>| text.get(range).unwrap_or_default();
        let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut out = String::with_capacity(text.len() + lines.len() + 8);
        if let Some(comma) = self.comma {
            out.push_str(part(0..comma));
            out.push(',');
            out.push_str(part(comma..self.at));
        } else {
            out.push_str(part(0..self.brackets.start).trim_end_matches(' '));
            out.push_str(part(self.brackets.end..self.at));
        }
        if self.breaks {
            out.truncate(out.trim_end_matches(' ').len());
        }
        if self.breaks || !(out.is_empty() || out.ends_with('\n')) {
            out.push_str(line_end);
        }
        for line in lines.lines() {
            out.push_str(line);
            out.push_str(line_end);
        }
        if self.breaks {
            out.push_str(&" ".repeat(self.indent.saturating_sub(STEP)));
        }
        out.push_str(part(self.at..text.len()));
        out
    }
}

/// How much deeper a list is indented than its key.
const STEP: usize = 2;

/// What there is of `map.list` in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The end of the list.
    List(ListEnd),
    /// The map has no such key; its end, with the indentation of its keys.
    Map(ListEnd),
}

/// Finds the end of the list under the key `list` of the top-level map `map`, in a text that [`super::parse`] takes.
pub(crate) fn tail(text: &str, map: &str, list: &str) -> Option<Tail> {
    let mut walk = Walk { text, open: Vec::new(), found: None, path: [map, list] };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        walk.take(&event, span)?;
        if let Some(Tail::List(_)) = walk.found {
            break;
        }
    }
    walk.found
}

/// A list or map whose end has not been seen.
#[derive(Debug)]
struct Open {
    is_map: bool,
    is_flow: bool,
    /// How much of the path leads here.
    depth: Option<usize>,
    /// The key that waits for its value.
    key: Option<String>,
    /// The column of the first key, or of the dashes.
    column: usize,
    start: usize,
    /// The end of the last thing that stands in it.
    last: Option<usize>,
    /// Whether the map around it is written in lines.
    in_block: bool,
}

struct Walk<'a> {
    text: &'a str,
    open: Vec<Open>,
    found: Option<Tail>,
    path: [&'a str; 2],
}

impl Walk<'_> {
    fn take(&mut self, event: &Event<'_>, span: Span) -> Option<()> {
        let bytes = span.byte_range()?;
        match event {
            Event::Scalar(text, ..) => {
                let is_key = self.open.last().is_some_and(|open| open.is_map && open.key.is_none());
                if is_key {
                    let open = self.open.last_mut()?;
                    open.key = Some(text.to_string());
                    if open.last.is_none() && !open.is_flow {
                        open.column = span.start.col();
                    }
                    open.last = Some(bytes.end);
                } else {
                    self.ended(bytes.end);
                }
            }
            Event::SequenceStart(style, ..) | Event::MappingStart(style, ..) => {
                let is_map = matches!(event, Event::MappingStart(..));
                let is_flow = *style == granit_parser::StructureStyle::Flow;
                self.begin(is_map, is_flow, bytes.start, span.start.col());
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&bytes)?,
            _ => {}
        }
        Some(())
    }

    fn begin(&mut self, is_map: bool, is_flow: bool, start: usize, column: usize) {
        let parent = self.open.last();
        let depth = match parent {
            None => Some(0),
            Some(parent) => {
                let wanted = parent.depth.and_then(|depth| self.path.get(depth));
                let leads = wanted.is_some_and(|key| parent.key.as_deref() == Some(*key));
                parent.depth.filter(|_| leads).map(|depth| depth + 1)
            }
        };
        // The dashes of a list may stand under its key, and then the list begins with its first entry.
        let is_dash = self.text.get(start..).is_some_and(|text| text.starts_with('-'));
        let column = match parent {
            Some(parent) if is_flow || (!is_map && !is_dash) => parent.column,
            _ => column,
        };
        let in_block = parent.is_none_or(|parent| !parent.is_flow);
        self.open.push(Open {
            is_map,
            is_flow,
            depth,
            key: None,
            column,
            start,
            last: None,
            in_block,
        });
    }

    fn end(&mut self, bytes: &Range<usize>) -> Option<()> {
        let open = self.open.pop()?;
        match (open.depth, open.is_map) {
            (Some(2), false) => self.found = Some(Tail::List(self.end_of(&open, bytes))),
            (Some(1), true) if self.found.is_none() => {
                self.found = Some(Tail::Map(self.end_of(&open, bytes)));
            }
            _ => {}
        }
        self.ended(if open.is_flow { bytes.end } else { open.last.unwrap_or(bytes.start) });
        Some(())
    }

    /// Something that is no key has ended here.
    fn ended(&mut self, at: usize) {
        if let Some(open) = self.open.last_mut() {
            open.last = Some(at);
            open.key = None;
        }
    }

    fn end_of(&self, open: &Open, bytes: &Range<usize>) -> ListEnd {
        let block = |at: usize, indent: usize, brackets: Range<usize>| ListEnd {
            indent,
            style: Style::Block,
            at,
            brackets,
            comma: None,
            breaks: false,
        };
        if !open.is_flow {
            let at = self.next_line(open.last.unwrap_or(bytes.start));
            return block(at, open.column, at..at);
        }
        let inner = self.text.get(open.start + 1..bytes.start).unwrap_or_default();
        if !open.is_map && open.in_block && inner.trim().is_empty() {
            let at = self.next_line(bytes.end);
            return block(at, open.column + STEP, open.start..bytes.end);
        }
        let comma = open.last.filter(|last| {
            let rest = self.text.get(*last..bytes.start).unwrap_or_default();
            !rest.lines().any(|line| line.split('#').next().is_some_and(|code| code.contains(',')))
        });
        let before = self.text.get(..bytes.start).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        let is_alone = line > open.start
            && before.get(line..).is_some_and(|text| text.bytes().all(|byte| byte == b' '));
        let at = if is_alone { line } else { bytes.start };
        let (style, indent) = (Style::Flow, open.column + 2 * STEP);
        ListEnd { indent, style, at, brackets: at..at, comma, breaks: !is_alone }
    }

    /// Where the line after the one with the last character before `end` begins.
    fn next_line(&self, end: usize) -> usize {
        let last = self.text.get(..end).unwrap_or_default().trim_end().len();
        let rest = self.text.get(last..).unwrap_or_default();
        last + rest.find('\n').map_or(rest.len(), |newline| newline + 1)
    }
}

#[cfg(test)]
mod tests;
