//! pnpm: `pnpm-lock.yaml`, and the registries of `pnpm-workspace.yaml`. Its other settings are npm's.

use std::collections::BTreeMap;

use crate::checkout::clients::Client;
use crate::checkout::document::{self, Malformed};
use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

/// pnpm-lock.yaml. A package of the registry has a digest and no place.
pub(super) fn lock(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    notes.settles_folder(Client::Npm);
    // By the number of the map `resolution`.
    let mut digests = BTreeMap::new();
    let mut places = Vec::new();
    let read = document::yaml(text, &mut |leaf| {
        if leaf.ends(&["resolution", "integrity"]) {
            digests.insert(leaf.map, leaf.line);
        } else if leaf.ends(&["resolution", "tarball"]) {
            places.push(leaf.map);
            notes.url(Purpose::Npm, leaf.text, leaf.line);
        } else if leaf.ends(&["resolution", "repo"]) {
            notes.git(Purpose::Npm, leaf.text, leaf.line);
            notes.gap(Gap::HostedRepositories, leaf.line);
        }
    });
    for map in places {
        digests.remove(&map);
    }
    if let Some(line) = digests.values().min() {
        notes.needs(Client::Pnpm, *line);
    }
    read
}

/// pnpm-workspace.yaml: `registry`, and `registries` with scopes or URLs as keys.
pub(super) fn settings(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    document::yaml(text, &mut |leaf| {
        let is_default = leaf.is(&["registry"])
            || leaf.is(&["registries", "default"])
            || leaf.is(&["registries", "*", "scopes"]) && leaf.text == "@";
        if leaf.is(&["registry"])
            || leaf.is(&["registries", "*"])
            || leaf.is(&["namedRegistries", "*"])
        {
            notes.url(Purpose::Npm, leaf.text, leaf.line);
        } else if let [first, url, _] = leaf.keys
            && first == "registries"
        {
            notes.url(Purpose::Npm, url, leaf.line);
        }
        if is_default {
            notes.settles_folder(Client::Pnpm);
        }
    })
}
