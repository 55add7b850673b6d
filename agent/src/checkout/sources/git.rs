//! git: remotes, submodules and the server of large files, in the format of git-config(1).

use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::Reader;

/// A setting: `[section "subsection"] key = value`.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    section: String,
    subsection: String,
    key: String,
    value: String,
    /// From 1.
    line: usize,
}

/// .git/config, .gitmodules and .lfsconfig.
pub(super) fn settings(text: &str, notes: &mut Notes<'_>) {
    let settings = parse(text);
    let rewrites: Vec<(&str, &str)> = settings
        .iter()
        .filter(|setting| setting.section == "url" && setting.key == "insteadof")
        .map(|setting| (setting.value.as_str(), setting.subsection.as_str()))
        .collect();
    for setting in &settings {
        match (setting.section.as_str(), setting.key.as_str()) {
            ("remote", "url" | "pushurl" | "lfsurl" | "lfspushurl")
            | ("submodule" | "lfs", "url" | "pushurl") => {
                // As git rewrites it: the longest beginning that is known.
                let rewrite = rewrites
                    .iter()
                    .filter(|(from, _)| setting.value.starts_with(from))
                    .max_by_key(|(from, _)| from.len());
                let rest = |from: &str| setting.value.get(from.len()..).unwrap_or_default();
                match rewrite {
                    Some((from, to)) => {
                        let url = format!("{to}{}", rest(from));
                        notes.git(Purpose::Git, &url, setting.line);
                    }
                    None => notes.git(Purpose::Git, &setting.value, setting.line),
                }
            }
            ("http" | "remote", "proxy") if !setting.value.is_empty() => {
                notes.proxy(Purpose::Git, &setting.value, setting.line);
            }
            _ => {}
        }
    }
}

/// A `.git` that is a file: `gitdir: PATH`, of a submodule (below this checkout) or of a worktree (elsewhere).
pub(super) fn elsewhere(text: &str, notes: &mut Notes<'_>) {
    let path = text.trim().strip_prefix("gitdir:").unwrap_or_default().trim();
    if notes.include(Reader::Lines(settings), &format!("{path}/config")).is_none() {
        notes.gap(Gap::GitElsewhere, 1);
    }
}

fn parse(text: &str) -> Vec<Setting> {
    let mut settings = Vec::new();
    let (mut section, mut subsection) = (String::new(), String::new());
    let mut lines = (1..).zip(text.lines());
    while let Some((line, content)) = lines.next() {
        let mut content = content.trim();
        if let Some(header) = content.strip_prefix('[') {
            let (name, rest) = header.split_once(']').unwrap_or((header, ""));
            let (first, second) = name.split_once(' ').unwrap_or((name, ""));
            section = first.trim().to_ascii_lowercase();
            subsection = second.trim().trim_matches('"').replace("\\\"", "\"");
            content = rest.trim();
        }
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let (key, value) = content.split_once('=').unwrap_or((content, "true"));
        let mut value = value.to_owned();
        while value.ends_with('\\') && !value.ends_with("\\\\") {
            value.pop();
            let Some((_, next)) = lines.next() else { break };
            value.push_str(next.trim_start());
        }
        settings.push(Setting {
            section: section.clone(),
            subsection: subsection.clone(),
            key: key.trim().to_ascii_lowercase(),
            value: unquoted(value.trim()),
            line,
        });
    }
    settings
}

/// A value without its quotes, escapes and comment.
fn unquoted(value: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' => out.extend(characters.next()),
            '#' | ';' if !quoted => break,
            _ => out.push(character),
        }
    }
    if quoted { out } else { out.trim_end().to_owned() }
}
