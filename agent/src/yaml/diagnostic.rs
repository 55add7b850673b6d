//! Errors with their place in the file, shown the way a good compiler shows them.

use std::fmt;

use super::limits;

/// A place in the file: one line, columns counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// How many characters are meant; at least 1 is shown.
    pub length: usize,
}

impl Span {
    /// The file's first character.
    pub(crate) const START: Self = Self::new(1, 1, 0);

    pub(crate) const fn new(line: usize, column: usize, length: usize) -> Self {
        Self { line, column, length }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic<P> {
    /// Where.
    pub span: Span,
    /// What.
    pub problem: P,
}

/// Everything found wrong in one file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<P> {
    source_name: String,
    /// Each diagnostic with the line of the file that it points into.
    entries: Vec<(Diagnostic<P>, String)>,
    /// How many more there were.
    more: usize,
}

impl<P> Report<P> {
    pub(crate) fn new(source_name: &str, text: &str, mut problems: Problems<P>) -> Self {
        problems.found.sort_by_key(|found| (found.span.line, found.span.column));
        problems.more += problems.found.len().saturating_sub(limits::PROBLEMS_SHOWN);
        problems.found.truncate(limits::PROBLEMS_SHOWN);
        let lines: Vec<&str> = text.split('\n').collect();
        let line_of = |span: Span| {
            let line = span.line.checked_sub(1).and_then(|at| lines.get(at)).copied();
            line.unwrap_or_default().trim_end_matches('\r').to_owned()
        };
        let entries = problems.found.into_iter().map(|found| {
            let line = line_of(found.span);
            (found, line)
        });
        Self {
            source_name: source_name.to_owned(),
            entries: entries.collect(),
            more: problems.more,
        }
    }

    /// The diagnostics, in the order of the file.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic<P>> {
        self.entries.iter().map(|(diagnostic, _)| diagnostic)
    }
}

impl<P: fmt::Debug + fmt::Display> std::error::Error for Report<P> {}

impl<P: fmt::Display> fmt::Display for Report<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (Diagnostic { span, problem }, line)) in self.entries.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            let name = Printable(&self.source_name);
            writeln!(f, "{name}:{}:{}: {problem}", span.line, span.column)?;
            write_snippet(f, *span, line)?;
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more errors", Printable(&self.source_name), self.more)?;
        }
        Ok(())
    }
}

/// How much of a long line is shown around the place.
const WINDOW: usize = 100;

/// The source line with a caret under the place; control characters become spaces of one column.
fn write_snippet(f: &mut fmt::Formatter<'_>, span: Span, line: &str) -> fmt::Result {
    let number = span.line.to_string();
    let gutter = " ".repeat(number.len());
    let column = span.column.saturating_sub(1);
    let skipped = if column < WINDOW { 0 } else { column - WINDOW / 2 };
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(WINDOW)
        .map(|character| if is_invisible(character) { ' ' } else { character })
        .collect();
    let before = column - skipped;
    let room = shown.chars().count().saturating_sub(before).max(1);
    writeln!(f, "{gutter} |")?;
    writeln!(f, "{number} | {}", shown.trim_end())?;
    write!(f, "{gutter} | {}{}", " ".repeat(before), "^".repeat(span.length.clamp(1, room)))
}

/// Control and formatting characters, which could restyle or reorder what a terminal shows.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text of a file, made safe and short enough for a message.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = Printable(text).to_string();
    if let Some((cut, _)) = short.char_indices().nth(LONGEST) {
        short.truncate(cut);
        short.push('…');
    }
    short
}

/// Text with invisible characters escaped.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_invisible(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

/// Collects what is wrong, so that one run reports all of it.
#[derive(Debug)]
pub(crate) struct Problems<P> {
    found: Vec<Diagnostic<P>>,
    more: usize,
}

impl<P> Default for Problems<P> {
    fn default() -> Self {
        Self { found: Vec::new(), more: 0 }
    }
}

impl<P> Problems<P> {
    pub(crate) fn push(&mut self, span: Span, problem: impl Into<P>) {
        if self.found.len() < limits::PROBLEMS_KEPT {
            self.found.push(Diagnostic { span, problem: problem.into() });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len() + self.more
    }

    /// What was found first, for those to whom its place says nothing.
    pub(crate) fn into_first(self) -> Option<P> {
        self.found.into_iter().next().map(|found| found.problem)
    }
}
