//! Dockerfiles: base images, images that files are copied from, and what is added by URL.

use std::collections::{HashMap, HashSet};

use crate::checkout::expand::expand;
use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::environment;

/// What has been read so far.
#[derive(Debug, Default)]
struct Build {
    /// `ARG` in front of the first `FROM`, which is where `FROM` takes its variables from.
    arguments: HashMap<String, String>,
    /// The names of stages, in lower case.
    stages: HashSet<String>,
    /// A `FROM` was seen.
    begun: bool,
}

/// A Dockerfile.
pub(super) fn build(text: &str, notes: &mut Notes<'_>) {
    let (syntax, escape) = directives(text);
    if let Some((image, line)) = syntax {
        notes.image(Purpose::Images, image, line);
    }
    let mut build = Build::default();
    for (line, instruction) in instructions(text, escape) {
        build.instruction(&instruction, line, notes);
    }
}

impl Build {
    fn instruction(&mut self, instruction: &str, line: usize, notes: &mut Notes<'_>) {
        let (word, rest) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
        match word.to_ascii_uppercase().as_str() {
            "ARG" if !self.begun => {
                for word in rest.split_whitespace() {
                    if let Some((name, value)) = word.split_once('=') {
                        let value = expand(value.trim_matches(['"', '\'']), &self.arguments);
                        self.arguments.insert(name.to_owned(), value);
                    }
                }
            }
            // `ENV NAME=value…`; the form with a space holds one.
            "ENV" => {
                for (name, value) in rest.split_whitespace().filter_map(|word| word.split_once('='))
                {
                    environment::note(name, value.trim_matches(['"', '\'']), line, notes);
                }
            }
            "FROM" => self.from(rest, line, notes),
            "COPY" => {
                for image in rest.split_whitespace().filter_map(|word| word.strip_prefix("--from="))
                {
                    self.image(image, line, notes);
                }
            }
            "ADD" => add(rest, line, notes),
            "RUN" => self.run(rest, line, notes),
            "ONBUILD" => self.instruction(rest.trim_start(), line, notes),
            _ => {}
        }
    }

    fn from(&mut self, rest: &str, line: usize, notes: &mut Notes<'_>) {
        self.begun = true;
        let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
        let Some(image) = words.next() else { return };
        self.image(image, line, notes);
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) {
            self.stages.extend(words.next().map(str::to_ascii_lowercase));
        }
    }

    fn run(&self, rest: &str, line: usize, notes: &mut Notes<'_>) {
        for mount in rest.split_whitespace().filter_map(|word| word.strip_prefix("--mount=")) {
            for image in mount.split(',').filter_map(|option| option.strip_prefix("from=")) {
                self.image(image, line, notes);
            }
        }
        if runs_apt(rest) {
            notes.gap(Gap::AptOfImage, line);
        }
    }

    /// An image, unless it is a stage: by name, by number, or none at all.
    fn image(&self, text: &str, line: usize, notes: &mut Notes<'_>) {
        let image = expand(text.trim_matches(['"', '\'']), &self.arguments);
        let is_number = !image.is_empty() && image.bytes().all(|byte| byte.is_ascii_digit());
        let name = image.to_ascii_lowercase();
        if !is_number && name != "scratch" && !self.stages.contains(&name) {
            notes.image(Purpose::Images, &image, line);
        }
    }
}

/// Sources of `ADD` that are URLs or repositories; the last word is where they go.
fn add(rest: &str, line: usize, notes: &mut Notes<'_>) {
    // Also the form of a JSON list.
    let words: Vec<&str> = rest
        .split(|c: char| c.is_whitespace() || c == ',')
        .map(|word| word.trim_matches(['[', ']', '"', '\'']))
        .filter(|word| !word.is_empty() && !word.starts_with("--"))
        .collect();
    for source in words.iter().take(words.len().saturating_sub(1)) {
        if source.contains("://") || source.starts_with("git@") {
            notes.git(Purpose::Downloads, source, line);
        }
    }
}

/// Whether a shell script installs Debian packages.
pub(super) fn runs_apt(script: &str) -> bool {
    let words: Vec<&str> = script.split_whitespace().collect();
    let programs = |word: &str| matches!(word, "apt-get" | "apt" | "aptitude");
    words.iter().enumerate().any(|(at, word)| {
        programs(word)
            && words.iter().skip(at + 1).take(8).any(|word| matches!(*word, "install" | "update"))
    })
}

/// `# syntax=IMAGE` with its line, and the character that continues lines, from the comments at the very top.
fn directives(text: &str) -> (Option<(&str, usize)>, char) {
    let (mut syntax, mut escape) = (None, '\\');
    for (line, content) in (1..).zip(text.lines()) {
        let directive = content.trim().strip_prefix('#').and_then(|text| text.split_once('='));
        let Some((name, value)) = directive else { break };
        match name.trim().to_ascii_lowercase().as_str() {
            "syntax" => syntax = Some((value.trim(), line)),
            "escape" => escape = value.trim().chars().next().unwrap_or(escape),
            "check" => {}
            _ => break,
        }
    }
    (syntax, escape)
}

/// Every instruction with the number of its first line; comments and the texts of here-documents are left out.
fn instructions(text: &str, escape: char) -> Vec<(usize, String)> {
    let mut instructions: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    let mut documents: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(end) = documents.first() {
            if line.trim() == end {
                documents.remove(0);
            }
            continue;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (content, goes_on) = match line.strip_suffix(escape) {
            Some(content) => (content.trim_end(), true),
            None => (line, false),
        };
        match instructions.last_mut() {
            Some((_, whole)) if continued => {
                whole.push(' ');
                whole.push_str(content);
            }
            _ => instructions.push((number, content.to_owned())),
        }
        continued = goes_on;
        if !continued && let Some((_, whole)) = instructions.last() {
            documents = here_documents(whole);
        }
    }
    instructions
}

/// The words that end the here-documents of an instruction: `<<EOF`, `<<-"EOF"`.
fn here_documents(instruction: &str) -> Vec<String> {
    let word = instruction.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if !matches!(word.as_str(), "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    instruction
        .split("<<")
        .skip(1)
        .filter_map(|rest| {
            let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start_matches(['"', '\'']);
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.get(..end).filter(|word| !word.is_empty()).map(str::to_owned)
        })
        .collect()
}
