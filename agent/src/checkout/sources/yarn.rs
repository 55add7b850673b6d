//! yarn, the first (`.yarnrc`) and the later ones (`.yarnrc.yml`); `yarn.lock` is one name for two formats.

use percent_encoding::percent_decode_str;

use crate::checkout::clients::Client;
use crate::checkout::document::{self, Malformed};
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::npm::Specifier;

/// yarn.lock. The first yarn writes `resolved "URL#digest"`; the later ones write `resolution: "NAME@WHAT"`, where
/// the registry of a version is not named, unless its archive lies elsewhere.
pub(super) fn lock(text: &str, notes: &mut Notes<'_>) {
    // Either way npm has no part in this project.
    notes.settles_folder(Client::Npm);
    let mut needed = false;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if let Some(resolved) = content.strip_prefix("resolved ") {
            Specifier::of(resolved.trim_matches('"')).note(line, notes);
        } else if let Some(resolution) = content.strip_prefix("resolution: ") {
            let resolution = resolution.trim_matches('"');
            let Some(registry) = berry_resolution(resolution, line, notes) else { continue };
            if registry && !needed {
                needed = true;
                notes.needs(Client::Yarn, line);
            }
        }
    }
}

/// Whether `@scope/name@npm:1.0.0::__archiveUrl=…` needs the registry's own host; nothing if it cannot be read.
fn berry_resolution(resolution: &str, line: usize, notes: &mut Notes<'_>) -> Option<bool> {
    // The name may begin with the sign that ends it.
    let at = resolution.get(1..)?.find('@')? + 1;
    let (what, parameters) = {
        let what = resolution.get(at + 1..)?;
        what.split_once("::").unwrap_or((what, ""))
    };
    let archive =
        parameters.split('&').find_map(|parameter| parameter.strip_prefix("__archiveUrl="));
    if let Some(archive) = archive {
        let url = percent_decode_str(archive).decode_utf8().ok()?;
        notes.url(Purpose::Npm, &url, line);
        return Some(false);
    }
    Some(Specifier::of(what).note(line, notes))
}

/// .yarnrc: `key value`, either in quotes.
pub(super) fn classic_settings(text: &str, notes: &mut Notes<'_>) {
    for (line, content) in (1..).zip(text.lines()) {
        let Some((key, value)) = content.trim().split_once(char::is_whitespace) else { continue };
        let (key, value) = (key.trim_matches('"'), value.trim().trim_matches('"'));
        if key == "registry" || key.ends_with(":registry") {
            notes.url(Purpose::Npm, value, line);
        } else if key == "proxy" || key == "https-proxy" {
            notes.proxy(Purpose::Npm, value, line);
        }
    }
}

/// .yarnrc.yml.
pub(super) fn settings(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    document::yaml(text, &mut |leaf| {
        if leaf.is(&["npmRegistryServer"]) {
            notes.url(Purpose::Npm, leaf.text, leaf.line);
            notes.settles_folder(Client::Yarn);
        } else if leaf.is(&["npmScopes", "*", "npmRegistryServer"]) {
            notes.url(Purpose::Npm, leaf.text, leaf.line);
        } else if leaf.is(&["httpProxy"]) || leaf.is(&["httpsProxy"]) {
            notes.proxy(Purpose::Npm, leaf.text, leaf.line);
        }
    })
}
