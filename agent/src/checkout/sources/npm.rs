//! npm: `package.json`, `package-lock.json` and `.npmrc`. The package specifiers are yarn's and pnpm's too.

use crate::checkout::clients::Client;
use crate::checkout::document::{self, Malformed};
use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::ini;

/// The sections of package.json that name packages.
const SECTIONS: [&str; 4] =
    ["dependencies", "devDependencies", "optionalDependencies", "resolutions"];

/// What is asked for behind a package's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Specifier<'a> {
    /// A version or tag of a registry.
    Registry,
    /// An archive.
    Archive(&'a str),
    /// A repository.
    Repository(&'a str),
    /// A repository by the short name that a hosting service gives it.
    Hosted,
    /// Something of this checkout.
    Local,
}

impl<'a> Specifier<'a> {
    /// Reads a specifier as npm's documentation of package.json describes them.
    pub(super) fn of(text: &'a str) -> Self {
        const LOCAL: [&str; 10] = [
            "file:",
            "link:",
            "workspace:",
            "portal:",
            "patch:",
            "catalog:",
            "./",
            "../",
            "/",
            "~/",
        ];
        const HOSTED: [&str; 4] = ["github:", "gitlab:", "bitbucket:", "gist:"];
        let text = text.trim();
        let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        if begins(&LOCAL) || text == "." || text == ".." {
            return Self::Local;
        }
        if begins(&HOSTED) {
            return Self::Hosted;
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let archive = matches!(scheme, "http" | "https");
            return if archive { Self::Archive(text) } else { Self::Repository(text) };
        }
        if text.starts_with("npm:") || text.starts_with('@') {
            return Self::Registry;
        }
        let before_slash = text.split('/').next().unwrap_or(text);
        if before_slash.contains('@') && before_slash.contains(':') {
            return Self::Repository(text);
        }
        if text.contains('/') && !text.contains([' ', ':', '|']) {
            return Self::Hosted;
        }
        Self::Registry
    }

    /// Notes the host, if it names one; whether a registry's is needed.
    pub(super) fn note(self, line: usize, notes: &mut Notes<'_>) -> bool {
        match self {
            Self::Registry => return true,
            Self::Archive(url) => notes.url(Purpose::Npm, url, line),
            Self::Repository(remote) => {
                notes.git(Purpose::Npm, remote, line);
                notes.gap(Gap::HostedRepositories, line);
            }
            Self::Hosted => notes.gap(Gap::HostedRepositories, line),
            Self::Local => {}
        }
        false
    }
}

/// package.json.
pub(super) fn manifest(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut needed = false;
    document::json(text, &mut |leaf| {
        if leaf.keys.len() == 2
            && leaf.keys.first().is_some_and(|section| SECTIONS.contains(&section.as_str()))
            && Specifier::of(leaf.text).note(leaf.line, notes)
            && !needed
        {
            needed = true;
            notes.needs(Client::Npm, leaf.line);
        }
    })
}

/// package-lock.json and npm-shrinkwrap.json, of any version: `resolved` is what npm fetches. A registry's host in it
/// can be replaced by the one that npm is set up for, so that does not settle npm's default.
pub(super) fn lock(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    document::json(text, &mut |leaf| {
        // The first version of the format has the place of what comes from no registry in `version`.
        if !matches!(leaf.key(), "resolved" | "version") {
            return;
        }
        match Specifier::of(leaf.text) {
            specifier @ (Specifier::Archive(_) | Specifier::Repository(_)) => {
                specifier.note(leaf.line, notes);
            }
            // Other than `github:user/repo` a path is a folder of this checkout.
            specifier @ Specifier::Hosted if leaf.text.contains(':') => {
                specifier.note(leaf.line, notes);
            }
            _ => {}
        }
    })
}

/// .npmrc, which pnpm and the first yarn read too.
pub(super) fn settings(text: &str, notes: &mut Notes<'_>) {
    for setting in ini::settings(text) {
        match setting.key.as_str() {
            "registry" => {
                notes.url(Purpose::Npm, &setting.value, setting.line);
                notes.settles_folder(Client::Npm);
                notes.settles_folder(Client::Pnpm);
            }
            "proxy" | "https-proxy" | "http-proxy" if setting.value != "null" => {
                notes.proxy(Purpose::Npm, &setting.value, setting.line);
            }
            key if key.starts_with('@') && key.ends_with(":registry") => {
                notes.url(Purpose::Npm, &setting.value, setting.line);
            }
            _ => {}
        }
    }
}
