//! One reader for each kind of file, chosen by the file's name.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use super::document::Malformed;
use super::findings::Findings;
use super::notes::Notes;
use super::read::Budget;
use super::walk;

mod apt;
pub(super) mod cargo;
mod dockerfile;
mod environment;
mod git;
mod gitlab_ci;
pub(super) mod go;
mod gradle;
mod ini;
pub(super) mod maven;
mod npm;
mod pip;
mod pnpm;
mod python;
mod requirements;
#[cfg(test)]
mod tests;
mod yarn;

/// Notes what the text of a file says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// Line by line: a line that is not understood is passed over.
    Lines(fn(&str, &mut Notes<'_>)),
    /// As a document, which can be malformed.
    Document(fn(&str, &mut Notes<'_>) -> Result<(), Malformed>),
}

impl Reader {
    fn read(self, text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
        match self {
            Self::Lines(read) => {
                read(text, notes);
                Ok(())
            }
            Self::Document(read) => read(text, notes),
        }
    }
}

/// The reader of the file at `path`, from the project's folder.
fn reader_of(path: &str) -> Option<Reader> {
    use Reader::{Document, Lines};
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folder.rsplit('/').next().unwrap_or(folder);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let lower = name.to_ascii_lowercase();
    let reader = match (folder, name) {
        (_, "package.json") => Document(npm::manifest),
        (_, "package-lock.json" | "npm-shrinkwrap.json") => Document(npm::lock),
        (_, ".npmrc") => Lines(npm::settings),
        (_, "yarn.lock") => Lines(yarn::lock),
        (_, ".yarnrc") => Lines(yarn::classic_settings),
        (_, ".yarnrc.yml") => Document(yarn::settings),
        (_, "pnpm-lock.yaml") => Document(pnpm::lock),
        (_, "pnpm-workspace.yaml") => Document(pnpm::settings),
        (_, "pip.conf" | "pip.ini") => Lines(pip::settings),
        (_, "pyproject.toml" | "uv.toml") => Document(python::project),
        (_, "setup.py" | "setup.cfg") => Lines(python::setup),
        (_, "uv.lock") => Document(python::uv_lock),
        (_, "poetry.lock") => Document(python::poetry_lock),
        (_, "Pipfile") => Document(python::pipfile),
        (_, "Pipfile.lock") => Document(python::pipfile_lock),
        (_, "Cargo.toml") => Document(cargo::manifest),
        (_, "Cargo.lock") => Document(cargo::lock),
        (".cargo", "config.toml" | "config") => Document(cargo::settings),
        (_, "go.mod") => Lines(go::module),
        (_, "go.sum") => Lines(go::sums),
        (_, "pom.xml") => Document(maven::project),
        (_, "settings.xml") => Document(maven::settings),
        ("wrapper", "maven-wrapper.properties") => Lines(maven::wrapper),
        ("wrapper", "gradle-wrapper.properties") => Lines(gradle::wrapper),
        (_, "build.gradle" | "build.gradle.kts" | "settings.gradle" | "settings.gradle.kts") => {
            Lines(gradle::build)
        }
        (_, "sources.list") => Lines(apt::list),
        ("sources.list.d", _) if extension == "list" => Lines(apt::list),
        (_, _) if extension == "sources" => Lines(apt::deb822),
        (".git", "config") | (_, ".gitmodules" | ".lfsconfig") => Lines(git::settings),
        (_, ".git") => Lines(git::elsewhere),
        (_, _) if name.ends_with(".gitlab-ci.yml") => Document(gitlab_ci::jobs),
        (_, _) if extension == "toml" && is_pylock(stem) => Document(python::pylock),
        (_, _) if matches!(extension, "txt" | "in") && is_requirements(folder, stem) => {
            Lines(requirements::list)
        }
        (_, _) if is_dockerfile(&lower) => Lines(dockerfile::build),
        _ => return None,
    };
    Some(reader)
}

/// `pylock` and `pylock.NAME` (PEP 751).
fn is_pylock(stem: &str) -> bool {
    stem == "pylock" || stem.starts_with("pylock.")
}

/// What pip and pip-tools take with `-r` and `-c`, by the usual names.
fn is_requirements(folder: &str, stem: &str) -> bool {
    folder == "requirements" || stem.contains("requirements") || stem.contains("constraints")
}

/// `Dockerfile`, `Dockerfile.NAME`, `NAME.Dockerfile`, and the same with `Containerfile`; in lower case.
fn is_dockerfile(name: &str) -> bool {
    ["dockerfile", "containerfile"].iter().any(|word| {
        name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            || name.strip_suffix(word).is_some_and(|front| front.ends_with('.'))
    })
}

/// Reads every known file below `root`, and what these files include.
pub(super) fn read_all(root: &Path, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let mut budget = Budget::new(root);
    let mut queue: VecDeque<(Reader, String)> = VecDeque::new();
    for path in walk::files(root, findings) {
        queue.extend(reader_of(&path).map(|reader| (reader, path)));
    }
    while let Some((reader, path)) = queue.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        match budget.read(&path) {
            Ok(text) => {
                let mut notes = Notes::new(findings, &path);
                let read = reader.read(&text, &mut notes);
                queue.extend(notes.into_includes());
                if let Err(error) = read {
                    findings.warn_of(&path, &error);
                }
            }
            Err(error) => findings.warn_of(&path, &error),
        }
    }
}
