//! Environment variables by which clients are set up, where CI files and Dockerfiles set them.

use crate::checkout::clients::Client;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

/// Notes what the variable `name` tells a client, if it is one of theirs.
pub(super) fn note(name: &str, value: &str, line: usize, notes: &mut Notes<'_>) {
    let (purpose, defaults): (Purpose, &[Client]) = match name.to_ascii_uppercase().as_str() {
        "NPM_CONFIG_REGISTRY" => (Purpose::Npm, &[Client::Npm, Client::Pnpm]),
        "YARN_NPM_REGISTRY_SERVER" => (Purpose::Npm, &[Client::Yarn]),
        "YARN_REGISTRY" => (Purpose::Npm, &[]),
        "PIP_INDEX_URL" | "UV_INDEX_URL" | "UV_DEFAULT_INDEX" => (Purpose::Pip, &[Client::Pip]),
        "PIP_EXTRA_INDEX_URL"
        | "PIP_FIND_LINKS"
        | "UV_EXTRA_INDEX_URL"
        | "UV_INDEX"
        | "PIPENV_PYPI_MIRROR" => (Purpose::Pip, &[]),
        "GOPROXY" => (Purpose::Go, &[]),
        name if name.starts_with("CARGO_REGISTRIES_") && name.ends_with("_INDEX") => {
            (Purpose::Cargo, &[])
        }
        _ => return,
    };
    // Some take lists; Go's words `direct` and `off` lead nowhere.
    for word in value.split([' ', ',', '|']).filter(|word| !word.is_empty()) {
        // uv's indexes may have a name in front.
        let url = word.split_once('=').filter(|(name, _)| !name.contains(':'));
        notes.url(purpose, url.map_or(word, |(_, url)| url), line);
    }
    // A job's environment holds for whatever folder it works in.
    for client in defaults {
        notes.settles_file(*client, "");
    }
}
