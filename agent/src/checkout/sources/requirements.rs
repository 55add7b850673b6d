//! Requirement files of pip (and of pip-tools): packages, options, and other files of the kind.

use crate::checkout::clients::Client;
use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::Reader;

/// What a file says about the index.
#[derive(Debug, Default)]
struct Index {
    /// It names one, or wants none.
    chosen: bool,
    /// The first line that needs an index.
    needed: Option<usize>,
    /// Files that are read as a part of this one.
    parts: Vec<String>,
}

/// A requirements or constraints file.
pub(super) fn list(text: &str, notes: &mut Notes<'_>) {
    let mut index = Index::default();
    for (line, content) in logical_lines(text) {
        read_line(&content, line, &mut index, notes);
    }
    if let Some(line) = index.needed {
        notes.needs(Client::Pip, line);
    }
    if index.chosen {
        // An option holds for the whole run of pip: for this file and for what it includes.
        let own = notes.file().to_owned();
        for path in index.parts.iter().chain([&own]) {
            notes.settles_file(Client::Pip, path);
        }
    }
}

fn read_line(content: &str, line: usize, index: &mut Index, notes: &mut Notes<'_>) {
    let (option, value) = option(content);
    match option {
        "-i" | "--index-url" | "--pypi-url" => {
            index.chosen = true;
            notes.url(Purpose::Pip, value, line);
            notes.gap(Gap::LinkedFiles, line);
        }
        "--extra-index-url" | "-f" | "--find-links" => notes.url(Purpose::Pip, value, line),
        "--no-index" => index.chosen = true,
        "-r" | "--requirement" | "-c" | "--constraint" => {
            if value.contains("://") {
                notes.url(Purpose::Pip, value, line);
            } else {
                index.parts.extend(notes.include(Reader::Lines(list), value));
            }
        }
        "-e" | "--editable" | "" if requirement(value, line, notes) => {
            index.needed.get_or_insert(line);
        }
        _ => {}
    }
}

/// Notes the host that a requirement names; whether it is left to an index.
///
/// `name ; marker`, `name @ URL` (PEP 508), a URL, or a path.
pub(super) fn requirement(text: &str, line: usize, notes: &mut Notes<'_>) -> bool {
    let text = text.trim();
    let url = match text.split_once('@') {
        Some((name, url)) if !name.contains(['/', ':']) => url.trim(),
        _ => text,
    };
    // Options of the one requirement, and its marker, follow behind a space.
    let url = url.split_whitespace().next().unwrap_or_default();
    if url.contains("://") {
        notes.url(Purpose::Pip, url, line);
        return false;
    }
    // What pip takes for a path, and what setup tools call themselves by.
    !text.is_empty() && !text.starts_with(['.', '/', '-']) && !url.starts_with("file:")
}

/// `--option=value`, `--option value`, `-o value` or `-ovalue`; no option if the line is none.
fn option(content: &str) -> (&str, &str) {
    if !content.starts_with('-') {
        return ("", content);
    }
    let end = content.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(content.len());
    let (name, value) = content.split_at(end);
    let value = value.trim_start_matches('=').trim().trim_matches(['"', '\'']);
    // `-rother.txt`
    match name.char_indices().nth(2) {
        Some((at, _)) if !name.starts_with("--") && value.is_empty() => name.split_at(at),
        _ => (name, value),
    }
}

/// Lines without comments, those that end in `\` joined with the next; each with the number of its first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.find(" #").or_else(|| line.find("\t#"));
        let line = comment.and_then(|at| line.get(..at)).unwrap_or(line).trim();
        if line.starts_with('#') {
            continue;
        }
        let (content, goes_on) = match line.strip_suffix('\\') {
            Some(content) => (content, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some((_, whole)) if continued => {
                whole.push(' ');
                whole.push_str(content.trim());
            }
            _ => lines.push((number, content.trim().to_owned())),
        }
        continued = goes_on;
    }
    lines.retain(|(_, content)| !content.is_empty());
    lines
}
