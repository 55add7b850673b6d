//! Python projects: `pyproject.toml`, and the lock files of uv, poetry, pipenv and of the standard.

use std::collections::BTreeMap;

use crate::checkout::clients::Client;
use crate::checkout::document::{self, Leaf, Malformed};
use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::requirements::requirement;

/// Lists of requirements (PEP 508) in pyproject.toml.
const REQUIREMENTS: [&[&str]; 4] = [
    &["project", "dependencies"],
    &["project", "optional-dependencies", "*"],
    &["dependency-groups", "*"],
    &["build-system", "requires"],
];

/// Where tools name indexes and packages by URL: in pyproject.toml behind `tool` and their name.
const URLS: [&[&str]; 10] = [
    &["uv", "index", "url"],
    &["uv", "index-url"],
    &["uv", "extra-index-url"],
    &["uv", "find-links"],
    &["uv", "pip", "index-url"],
    &["uv", "pip", "extra-index-url"],
    &["uv", "sources", "*", "url"],
    &["poetry", "source", "url"],
    &["poetry", "dependencies", "*", "url"],
    &["pdm", "source", "url"],
];

/// Where tools name repositories.
const REPOSITORIES: [&[&str]; 3] = [
    &["uv", "sources", "*", "git"],
    &["poetry", "dependencies", "*", "git"],
    &["poetry", "group", "*", "dependencies", "*", "git"],
];

/// pyproject.toml, and uv.toml, which is its `tool.uv` alone.
pub(super) fn project(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let own_file = notes.file().ends_with("uv.toml");
    let mut needed = None;
    let mut settled = false;
    let read = document::toml(text, &mut |leaf| {
        let tool: Vec<String>;
        let tool = if own_file {
            tool = std::iter::once("uv".to_owned()).chain(leaf.keys.iter().cloned()).collect();
            Leaf { keys: &tool, ..leaf }
        } else if leaf.keys.first().is_some_and(|key| key == "tool") {
            Leaf { keys: leaf.keys.get(1..).unwrap_or_default(), ..leaf }
        } else {
            if REQUIREMENTS.iter().any(|keys| leaf.is(keys))
                && requirement(leaf.text, leaf.line, notes)
            {
                needed = needed.or(Some(leaf.line));
            }
            return;
        };
        if URLS.iter().any(|keys| tool.is(keys)) {
            notes.url(Purpose::Pip, leaf.text, leaf.line);
        } else if REPOSITORIES.iter().any(|keys| tool.is(keys)) {
            notes.git(Purpose::Pip, leaf.text, leaf.line);
        } else if tool.is(&["uv", "dev-dependencies"]) && requirement(leaf.text, leaf.line, notes) {
            needed = needed.or(Some(leaf.line));
        }
        let default_of_uv = tool.is(&["uv", "index", "default"]) && leaf.text == "true";
        let default_of_poetry = tool.is(&["poetry", "source", "priority"])
            && matches!(leaf.text, "primary" | "default");
        if default_of_uv || default_of_poetry || tool.is(&["uv", "index-url"]) {
            settled = true;
        }
    });
    if let Some(line) = needed {
        notes.needs(Client::Pip, line);
    }
    if settled {
        notes.settles_folder(Client::Pip);
    }
    read
}

/// setup.py and setup.cfg: what they need is left to an index.
pub(super) fn setup(_text: &str, notes: &mut Notes<'_>) {
    notes.needs(Client::Pip, 1);
}

/// uv.lock: every package with its index and the places of its files.
pub(super) fn uv_lock(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut has_index = false;
    let read = document::toml(text, &mut |leaf| match leaf.key() {
        "registry" if leaf.ends(&["source", "registry"]) => {
            has_index = true;
            notes.url(Purpose::Pip, leaf.text, leaf.line);
        }
        "url" => notes.url(Purpose::Pip, leaf.text, leaf.line),
        "git" if leaf.ends(&["source", "git"]) => {
            notes.git(Purpose::Pip, leaf.text, leaf.line);
        }
        _ => {}
    });
    if has_index {
        notes.settles_folder(Client::Pip);
    }
    read
}

/// poetry.lock: a package without a source comes from poetry's own default index.
pub(super) fn poetry_lock(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut packages = BTreeMap::new();
    let mut sources = 0;
    let read = document::toml(text, &mut |leaf| {
        if leaf.is(&["package", "name"]) {
            packages.insert(leaf.map, leaf.line);
        } else if leaf.is(&["package", "source", "url"]) {
            sources += 1;
            notes.git(Purpose::Pip, leaf.text, leaf.line);
            notes.gap(Gap::LinkedFiles, leaf.line);
        }
    });
    if let Some(line) = packages.values().min().filter(|_| packages.len() > sources) {
        notes.needs(Client::Pip, *line);
        notes.gap(Gap::PoetryIndex, *line);
    }
    read
}

/// Pipfile.
pub(super) fn pipfile(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    document::toml(text, &mut |leaf| {
        if leaf.is(&["source", "url"]) {
            notes.url(Purpose::Pip, leaf.text, leaf.line);
            notes.gap(Gap::LinkedFiles, leaf.line);
        } else if matches!(leaf.key(), "git" | "file") {
            notes.git(Purpose::Pip, leaf.text, leaf.line);
        }
    })
}

/// Pipfile.lock.
pub(super) fn pipfile_lock(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    document::json(text, &mut |leaf| {
        if leaf.is(&["_meta", "sources", "url"]) {
            notes.url(Purpose::Pip, leaf.text, leaf.line);
            notes.gap(Gap::LinkedFiles, leaf.line);
        } else if matches!(leaf.key(), "git" | "file") {
            notes.git(Purpose::Pip, leaf.text, leaf.line);
        }
    })
}

/// pylock.toml (PEP 751).
pub(super) fn pylock(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut has_index = false;
    let read = document::toml(text, &mut |leaf| match leaf.key() {
        "index" => {
            has_index = true;
            notes.url(Purpose::Pip, leaf.text, leaf.line);
        }
        "url" => notes.git(Purpose::Pip, leaf.text, leaf.line),
        _ => {}
    });
    if has_index {
        notes.settles_folder(Client::Pip);
    }
    read
}
