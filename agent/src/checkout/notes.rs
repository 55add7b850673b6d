//! The pen that a reader writes with: what one file says, with its lines.

use std::rc::Rc;

use super::clients::Client;
use super::endpoint;
use super::findings::{Findings, Gap, Place, Places};
use super::purpose::Purpose;
use super::sources::{Reader, cargo, go};

/// Writes down what one file says.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    findings: &'a mut Findings,
    file: Rc<str>,
    includes: Vec<(Reader, String)>,
}

impl<'a> Notes<'a> {
    /// Notes of the file at the path `file` from the project's folder.
    pub(super) fn new(findings: &'a mut Findings, file: &str) -> Self {
        Self { findings, file: file.into(), includes: Vec::new() }
    }

    /// The file's folder from the project's; empty for that folder itself.
    pub(super) fn folder(&self) -> &str {
        self.file.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// A line of the file, from 1.
    pub(super) fn place(&self, line: usize) -> Place {
        Place::Line { file: self.file.clone(), line }
    }

    /// The same as the only place.
    pub(super) fn places(&self, line: usize) -> Places {
        Places::of(self.place(line))
    }

    /// Notes where the URL `text` leads.
    pub(super) fn url(&mut self, purpose: Purpose, text: &str, line: usize) {
        self.findings.lead(purpose, endpoint::url(text), &self.places(line));
    }

    /// Notes where the git remote `text` leads.
    pub(super) fn git(&mut self, purpose: Purpose, text: &str, line: usize) {
        self.findings.lead(purpose, endpoint::git(text), &self.places(line));
    }

    /// Notes where the proxy `text` is.
    pub(super) fn proxy(&mut self, purpose: Purpose, text: &str, line: usize) {
        self.findings.lead(purpose, endpoint::proxy(text), &self.places(line));
    }

    /// Notes where the image `text` comes from.
    pub(super) fn image(&mut self, purpose: Purpose, text: &str, line: usize) {
        self.findings.lead(purpose, endpoint::image(text), &self.places(line));
    }

    /// Notes what stays open.
    pub(super) fn gap(&mut self, gap: Gap, line: usize) {
        self.findings.gap(gap, &self.places(line));
    }

    /// Notes that this file leaves `client` its default.
    pub(super) fn needs(&mut self, client: Client, line: usize) {
        let place = self.place(line);
        self.findings.need(client, &self.file, place);
    }

    /// Notes that this file gives what its folder and everything below it would need the default of
    /// `client` for.
    pub(super) fn settles_folder(&mut self, client: Client) {
        let folder = self.folder().to_owned();
        self.findings.settle(client, &folder);
    }

    /// The same for the one file at `path` from the project's folder.
    pub(super) fn settles_file(&mut self, client: Client, path: &str) {
        self.findings.settle(client, path);
    }

    /// This file's own path from the project's folder.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Has the file at `path`, from this file's folder, read too.
    pub(super) fn include(&mut self, reader: Reader, path: &str) -> Option<String> {
        let path = join(self.folder(), path)?;
        self.includes.push((reader, path.clone()));
        Some(path)
    }

    /// Has the file at `path`, from the project's folder, read too.
    pub(super) fn include_from_root(&mut self, reader: Reader, path: &str) {
        self.includes.extend(join("", path.trim_start_matches('/')).map(|path| (reader, path)));
    }

    /// What the lock and settings files of cargo say.
    pub(super) fn cargo(&mut self) -> &mut cargo::Facts {
        &mut self.findings.cargo
    }

    /// The modules that the files of Go name.
    pub(super) fn go(&mut self) -> &mut go::Facts {
        &mut self.findings.go
    }

    /// The files that it wants read too.
    pub(super) fn into_includes(self) -> Vec<(Reader, String)> {
        self.includes
    }
}

/// `path` below `folder` without `.` and `..`; none if it is absolute or climbs out of the project's folder.
fn join(folder: &str, path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
