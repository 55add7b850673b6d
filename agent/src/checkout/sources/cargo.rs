//! cargo: `Cargo.toml`, `Cargo.lock` and `.cargo/config.toml`.
//!
//! A lock file calls a registry by the URL that cargo knows it by, which is not always where cargo goes: sources can
//! be replaced, and the default registry has a name of its own. So these URLs are kept as facts until the settings
//! of all files, and cargo itself, have been heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkout::clients::Client;
use crate::checkout::document::{self, Malformed};
use crate::checkout::findings::{Place, Places};
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

/// Registries and sources that are kept.
const REGISTRIES: usize = 200;

/// What the files of cargo say, all together.
#[derive(Debug, Default)]
pub(in crate::checkout) struct Facts {
    /// The registries of lock files, as `sparse+https://…` or `https://…` (git).
    pub(in crate::checkout) locked: BTreeMap<String, Places>,
    pub(in crate::checkout) settings: Settings,
}

/// `[registries]` and `[source]` of cargo's settings.
#[derive(Debug, Default)]
pub(in crate::checkout) struct Settings {
    /// The index of each registry, by its name.
    pub(in crate::checkout) registries: BTreeMap<String, (String, Place)>,
    pub(in crate::checkout) sources: BTreeMap<String, Source>,
}

/// A source, by its name in the settings.
#[derive(Debug, Default)]
pub(in crate::checkout) struct Source {
    pub(in crate::checkout) replace_with: Option<String>,
    /// The index of a registry.
    pub(in crate::checkout) registry: Option<(String, Place)>,
    /// Its crates lie in a folder.
    pub(in crate::checkout) is_local: bool,
}

/// Cargo.toml.
pub(super) fn manifest(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut versions = BTreeMap::new();
    let mut elsewhere = BTreeSet::new();
    let mut plain = None;
    let read = document::toml(text, &mut |leaf| {
        let is_section = |key: &String| {
            matches!(key.as_str(), "dependencies" | "dev-dependencies" | "build-dependencies")
        };
        match leaf.keys {
            [.., section, _] if is_section(section) => plain = plain.or(Some(leaf.line)),
            [.., section, _, key] if is_section(section) => match key.as_str() {
                "version" => {
                    versions.insert(leaf.map, leaf.line);
                }
                "git" => {
                    elsewhere.insert(leaf.map);
                    notes.git(Purpose::Cargo, leaf.text, leaf.line);
                }
                "path" | "registry" | "registry-index" => {
                    elsewhere.insert(leaf.map);
                }
                _ => {}
            },
            [patch, .., key] if patch == "patch" && key == "git" => {
                notes.git(Purpose::Cargo, leaf.text, leaf.line);
            }
            _ => {}
        }
    });
    versions.retain(|map, _| !elsewhere.contains(map));
    if let Some(line) = plain.into_iter().chain(versions.into_values()).min() {
        notes.needs(Client::Cargo, line);
    }
    read
}

/// Cargo.lock.
pub(super) fn lock(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    // It says more exactly what the manifests beside and below it need.
    notes.settles_folder(Client::Cargo);
    document::toml(text, &mut |leaf| {
        if !leaf.is(&["package", "source"]) {
            return;
        }
        if leaf.text.starts_with("git+") {
            notes.git(Purpose::Cargo, leaf.text, leaf.line);
            return;
        }
        let registry = leaf.text.strip_prefix("registry+").unwrap_or(leaf.text);
        let place = notes.place(leaf.line);
        let locked = &mut notes.cargo().locked;
        if locked.len() < REGISTRIES || locked.contains_key(registry) {
            locked.entry(registry.to_owned()).or_default().add(place);
        }
    })
}

/// .cargo/config.toml.
pub(in crate::checkout) fn settings(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    document::toml(text, &mut |leaf| {
        let place = notes.place(leaf.line);
        if leaf.is(&["http", "proxy"]) {
            notes.proxy(Purpose::Cargo, leaf.text, leaf.line);
        }
        let settings = &mut notes.cargo().settings;
        match leaf.keys {
            [table, name, key]
                if table == "registries"
                    && key == "index"
                    && settings.registries.len() < REGISTRIES =>
            {
                let index = (leaf.text.to_owned(), place);
                settings.registries.entry(name.clone()).or_insert(index);
            }
            [table, name, key] if table == "source" => {
                let known = settings.sources.contains_key(name);
                if !known && settings.sources.len() >= REGISTRIES {
                    return;
                }
                let source = settings.sources.entry(name.clone()).or_default();
                match key.as_str() {
                    "replace-with" => {
                        source.replace_with.get_or_insert(leaf.text.to_owned());
                    }
                    "registry" => {
                        source.registry.get_or_insert((leaf.text.to_owned(), place));
                    }
                    "directory" | "local-registry" => source.is_local = true,
                    "git" => notes.git(Purpose::Cargo, leaf.text, leaf.line),
                    _ => {}
                }
            }
            _ => {}
        }
    })
}
