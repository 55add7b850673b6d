//! Whose records they are: what has a profile of its own.

use std::collections::BTreeSet;

use crate::{
    events::record::{GitlabInfo, Record},
    identity::told::Told,
    policy::{ProjectPath, SuggestedSelector as Selector, is_profile_name, limits},
};

/// Paths of one project that are remembered.
const PATHS: usize = 4;

/// What records have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// That they were read.
    All,
    /// The profile that was in force.
    Profile(String),
    /// The project, by its id; or by its path, where its id is not known.
    Project(Told<Project>),
    /// That they are of no project.
    NoProject,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Project {
    Id(u64),
    Path(ProjectPath),
}

/// The paths of the projects of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    facts: BTreeSet<ProjectPath>,
    claims: BTreeSet<ProjectPath>,
}

impl Paths {
    pub(super) fn add(&mut self, record: &Record) {
        let Some(told) = record.gitlab.as_ref().and_then(GitlabInfo::told_project) else { return };
        let paths = match told {
            Told::Fact(_) => &mut self.facts,
            Told::Claim(_) => &mut self.claims,
        };
        if paths.len() < PATHS
            && let Some(path) = ProjectPath::parse(told.value())
        {
            paths.insert(path);
        }
    }

    /// The one path that the platform told.
    fn fact(&self) -> Option<&ProjectPath> {
        self.facts.first().filter(|_| self.facts.len() == 1)
    }
}

impl Group {
    pub(super) fn of_profile(record: &Record) -> Self {
        let name = &record.policy.profile;
        // Only a tampered record has another.
        let name = if is_profile_name(name) { name.clone() } else { "unnamed".to_owned() };
        Self::Profile(name)
    }

    pub(super) fn of_project(record: &Record) -> Self {
        let Some(gitlab) = &record.gitlab else { return Self::NoProject };
        let path = || match gitlab.told_project()? {
            Told::Fact(path) => ProjectPath::parse(path).map(Project::Path).map(Told::Fact),
            Told::Claim(path) => ProjectPath::parse(path).map(Project::Path).map(Told::Claim),
        };
        let id = gitlab.told_project_id().map(|id| match id {
            Told::Fact(id) => Told::Fact(Project::Id(id)),
            Told::Claim(id) => Told::Claim(Project::Id(id)),
        });
        id.or_else(path).map_or(Self::NoProject, Self::Project)
    }

    /// The profile's name, which is none other's as long as this group is.
    pub(super) fn profile_name(&self, paths: &Paths) -> String {
        match self {
            Self::All => "suggested".to_owned(),
            Self::Profile(name) => name.clone(),
            Self::NoProject => "no-project".to_owned(),
            Self::Project(Told::Fact(project)) => match (project, paths.fact()) {
                (_, Some(path)) | (Project::Path(path), None) => named("project", path),
                (Project::Id(id), None) => format!("project/{id}"),
            },
            Self::Project(Told::Claim(Project::Id(id))) => format!("claimed/{id}"),
            Self::Project(Told::Claim(Project::Path(path))) => named("claimed", path),
        }
    }

    /// Who is to get the profile: a project that the platform told.
    pub(super) fn selector(&self, paths: &Paths) -> Option<Selector> {
        let Self::Project(Told::Fact(project)) = self else { return None };
        Some(match (project, paths.fact()) {
            (_, Some(path)) | (Project::Path(path), None) => Selector::GitlabProject(path.clone()),
            (Project::Id(id), None) => Selector::GitlabProjectId(*id),
        })
    }

    /// What a person should know of the group.
    pub(super) fn notes(&self, paths: &Paths) -> Vec<String> {
        let list = |paths: &BTreeSet<ProjectPath>| {
            paths.iter().map(ProjectPath::as_str).collect::<Vec<_>>().join(", ")
        };
        let mut notes = Vec::new();
        match self {
            Self::All | Self::Profile(_) => return notes,
            Self::NoProject => {
                notes.push("Of jobs whose project is not known; nothing is selected.".to_owned());
            }
            Self::Project(Told::Fact(project)) => {
                if let Project::Id(id) = project {
                    notes.push(format!("Of the GitLab project with the id {id}."));
                }
                if !paths.facts.is_empty() {
                    notes.push(format!("Its path: {}.", list(&paths.facts)));
                }
            }
            Self::Project(Told::Claim(_)) => notes.push(
                "WARNING: that these records are of this project is only the word of its jobs; any job could have said \
                 so. Nothing is selected."
                    .to_owned(),
            ),
        }
        if !paths.claims.is_empty() {
            notes.push(format!("Its path by the word of its jobs: {}.", list(&paths.claims)));
        }
        notes
    }
}

/// `project/group/app`, with what cannot stand in a profile's name replaced.
fn named(kind: &str, path: &ProjectPath) -> String {
    let path = path.as_str().to_ascii_lowercase();
    let parts = path.split('/').map(|part| part.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let mut name = format!("{kind}/{}", parts.join("/"));
    name.truncate(limits::PROFILE_NAME_BYTES);
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    name.to_owned()
}

#[cfg(test)]
mod tests;
