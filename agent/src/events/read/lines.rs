//! Lines of any length, of which no more than a bound is held.

use std::io::{self, BufRead};

/// The longest line that is read; a record with every text at its longest is far shorter.
pub const LINE_BYTES: usize = 1024 * 1024;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line that ends with a newline.
    Whole(&'a [u8]),
    /// What stands after the last newline.
    Last(&'a [u8]),
    /// A line of more than [`LINE_BYTES`].
    TooLong,
}

/// The lines of an input.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, line: Vec::new() }
    }

    /// The next line, or none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut too_long = false;
        let mut read_any = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                return Ok(match (too_long, read_any) {
                    (true, _) => Some(Line::TooLong),
                    (false, true) => Some(Line::Last(&self.line)),
                    (false, false) => None,
                });
            }
            read_any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            too_long |= self.line.len() + part.len() > LINE_BYTES;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(if too_long { Line::TooLong } else { Line::Whole(&self.line) }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Reads through a buffer of a few bytes, so that lines cross its end.
    fn check(input: &[u8], expected: &[Line<'_>]) {
        let mut lines = Lines::new(BufReader::with_capacity(3, input));
        for expected in expected {
            assert_eq!(lines.next().unwrap().as_ref(), Some(expected));
        }
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        check(b"", &[]);
        check(b"one\ntwo\n", &[Line::Whole(b"one"), Line::Whole(b"two")]);
        check(b"one\n\ntw", &[Line::Whole(b"one"), Line::Whole(b""), Line::Last(b"tw")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_whole() {
        let longest = vec![b'x'; LINE_BYTES];
        let input = [&longest[..], b"\n", &longest[..], b"y\nnext\n", &longest[..], b"y"].concat();
        let expected =
            [Line::Whole(&longest[..]), Line::TooLong, Line::Whole(b"next"), Line::TooLong];
        let mut lines = Lines::new(BufReader::new(&input[..]));
        for expected in &expected {
            assert!(lines.next().unwrap().as_ref() == Some(expected));
        }
        assert!(lines.next().unwrap().is_none());
        assert!(lines.line.capacity() <= 2 * LINE_BYTES);
    }
}
