//! Go: `go.mod` and `go.sum`. Both name modules by paths that begin with a host; whether Go goes there or to a proxy is
//! known to Go alone.

use std::collections::BTreeMap;

use crate::checkout::clients::Client;
use crate::checkout::findings::Place;
use crate::checkout::notes::Notes;

/// Modules that are kept.
const MODULES: usize = 20_000;

/// The modules that files name.
#[derive(Debug, Default)]
pub(in crate::checkout) struct Facts {
    /// By the module's path.
    pub(in crate::checkout) modules: BTreeMap<String, Place>,
}

fn module_is_needed(path: &str, line: usize, notes: &mut Notes<'_>) -> bool {
    // A path without a dot in front belongs to Go itself; one that begins with a dot or slash is a folder.
    let host = path.split('/').next().unwrap_or(path);
    if !host.contains('.') || host.starts_with('.') {
        return false;
    }
    let place = notes.place(line);
    let modules = &mut notes.go().modules;
    if modules.len() < MODULES {
        modules.entry(path.to_owned()).or_insert(place);
    }
    true
}

/// go.mod: `require` and `replace`, on one line each or in parentheses.
pub(super) fn module(text: &str, notes: &mut Notes<'_>) {
    let mut block = "";
    let mut needed = false;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split("//").next().unwrap_or(content).trim();
        let mut words = content.split_whitespace().peekable();
        let directive = if block.is_empty() { words.next().unwrap_or_default() } else { block };
        match words.peek() {
            Some(&"(") if block.is_empty() => {
                block = directive;
                continue;
            }
            Some(&")") => {
                block = "";
                continue;
            }
            _ => {}
        }
        let path = match directive {
            "require" => words.next(),
            "replace" => words.skip_while(|word| *word != "=>").nth(1),
            _ => None,
        };
        let path = path.unwrap_or_default().trim_matches('"');
        if module_is_needed(path, line, notes) && !needed {
            needed = true;
            notes.needs(Client::Go, line);
        }
    }
}

/// go.sum: a module, its version and a digest on each line.
pub(super) fn sums(text: &str, notes: &mut Notes<'_>) {
    for (line, content) in (1..).zip(text.lines()) {
        let path = content.split_whitespace().next().unwrap_or_default();
        module_is_needed(path, line, notes);
    }
}
