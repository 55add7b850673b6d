//! Who gets a profile: the conditions of `spec.select`, and how narrow they are.
//!
//! Invariant: a selector is asked about [`Traits`] alone, which hold nothing that a job could have set.

use std::collections::BTreeMap;
use std::fmt;

use super::glob::Glob;
use crate::identity::Traits;

#[cfg(test)]
mod tests;

/// The conditions of one profile; all of them must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    pub(super) conditions: Vec<Condition>,
    pub(super) labels: BTreeMap<String, String>,
}

/// A fact about a pod, and the patterns of which one must fit it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Condition {
    pub(super) fact: Fact,
    pub(super) any_of: Vec<Glob>,
}

/// What of a pod a condition asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// The path of the GitLab project.
    GitlabProject,
    /// Its id.
    GitlabProjectId,
    /// A GitLab group that the project is in, however deep.
    GitlabGroup,
    /// The branch or tag of a GitLab job.
    GitlabRef,
    /// The repository that a runner scale set is registered for.
    GithubRepository,
    /// The organization that it is registered for.
    GithubOrganization,
    /// The name of the scale set.
    GithubScaleSet,
    /// The Kubernetes namespace.
    Namespace,
}

/// What kind of thing the narrowest condition names, the narrowest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A Kubernetes namespace.
    Namespace,
    /// Labels of the pod.
    Labels,
    /// A group, an organization, or a scale set.
    Group,
    /// A project or repository.
    Project,
}

/// How narrow a selector is for a pod; of two that match, the greater one is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// What the narrowest condition names.
    pub level: Level,
    /// Without a wildcard.
    exact: bool,
    /// How much of the path is written out.
    literal: usize,
    /// How many conditions there are, each label one.
    conditions: usize,
}

/// Why a selector does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The condition, as in the file.
    condition: String,
    /// What the pod has there.
    found: Option<String>,
}

impl Fact {
    /// The key below `select`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::GitlabProject => "gitlab.project",
            Self::GitlabProjectId => "gitlab.projectId",
            Self::GitlabGroup => "gitlab.group",
            Self::GitlabRef => "gitlab.refs",
            Self::GithubRepository => "github.repository",
            Self::GithubOrganization => "github.organization",
            Self::GithubScaleSet => "github.scaleSet",
            Self::Namespace => "namespaces",
        }
    }

    const fn level(self) -> Option<Level> {
        match self {
            Self::GitlabProject | Self::GitlabProjectId | Self::GithubRepository => {
                Some(Level::Project)
            }
            Self::GitlabGroup | Self::GithubOrganization | Self::GithubScaleSet => {
                Some(Level::Group)
            }
            // It narrows what another condition names.
            Self::GitlabRef => None,
            Self::Namespace => Some(Level::Namespace),
        }
    }

    /// Whether GitLab Runner tells it in annotations alone.
    const fn is_of_annotations(self) -> bool {
        matches!(self, Self::GitlabProject | Self::GitlabGroup | Self::GitlabRef)
    }

    fn of(self, traits: &Traits) -> Option<&str> {
        let found = match self {
            Self::GitlabProject | Self::GitlabGroup => &traits.gitlab.project,
            Self::GitlabProjectId => &traits.gitlab.project_id,
            Self::GitlabRef => &traits.gitlab.reference,
            Self::GithubRepository => &traits.github.repository,
            Self::GithubOrganization => &traits.github.organization,
            Self::GithubScaleSet => &traits.github.scale_set,
            Self::Namespace => &traits.namespace,
        };
        found.as_deref()
    }
}

impl Condition {
    /// The narrowest pattern that fits.
    fn find(&self, traits: &Traits) -> Option<&Glob> {
        let found = self.fact.of(traits)?;
        let fits = |pattern: &&Glob| match self.fact {
            Fact::GitlabGroup => groups(found).any(|group| pattern.matches(group)),
            _ => pattern.matches(found),
        };
        self.any_of.iter().filter(fits).max_by_key(|pattern| narrowness(pattern))
    }
}

fn narrowness(pattern: &Glob) -> (bool, usize) {
    (pattern.is_exact(), pattern.literal())
}

/// `a`, `a/b` of `a/b/app`.
fn groups(project: &str) -> impl Iterator<Item = &str> {
    project.match_indices('/').filter_map(|(at, _)| project.get(..at))
}

impl Selector {
    /// How narrow it is for a pod.
    ///
    /// # Errors
    ///
    /// [`Mismatch`]: the first condition that does not hold.
    pub fn judge(&self, traits: &Traits) -> Result<Rank, Mismatch> {
        let mut rank = Rank {
            level: if self.labels.is_empty() { Level::Namespace } else { Level::Labels },
            exact: !self.labels.is_empty(),
            literal: 0,
            conditions: self.conditions.len() + self.labels.len(),
        };
        for condition in &self.conditions {
            let Some(pattern) = condition.find(traits) else {
                let found = condition.fact.of(traits).map(str::to_owned);
                return Err(Mismatch { condition: condition.to_string(), found });
            };
            let (exact, literal) = narrowness(pattern);
            if let Some(level) = condition.fact.level()
                && (level, exact, literal) > (rank.level, rank.exact, rank.literal)
            {
                rank = Rank { level, exact, literal, ..rank };
            }
        }
        for (name, value) in &self.labels {
            let found = traits.labels.get(name);
            if found != Some(value) {
                let condition = format!("podLabels.{name} `{value}`");
                return Err(Mismatch { condition, found: found.cloned() });
            }
        }
        Ok(rank)
    }

    /// A condition that only annotations of GitLab Runner can meet.
    #[must_use]
    pub fn needs_annotations(&self) -> Option<Fact> {
        self.conditions.iter().map(|condition| condition.fact).find(|fact| fact.is_of_annotations())
    }

    /// Whether labels decide that any platform's user could have written.
    #[must_use]
    pub fn needs_labels(&self) -> bool {
        !self.labels.is_empty()
    }
}

impl Rank {
    /// That of a profile that is given to one namespace by name.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] if the pod is in another one.
    pub fn of_namespace(namespace: &str, traits: &Traits) -> Result<Self, Mismatch> {
        if traits.namespace.as_deref() != Some(namespace) {
            let condition = format!("{} `{namespace}`", Fact::Namespace.key());
            return Err(Mismatch { condition, found: traits.namespace.clone() });
        }
        Ok(Self { level: Level::Namespace, exact: true, literal: namespace.len(), conditions: 1 })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fact.key())?;
        for (at, pattern) in self.any_of.iter().enumerate() {
            write!(f, "{} `{pattern}`", if at == 0 { "" } else { " or" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = self.conditions.iter().map(Condition::to_string);
        let labels = self.labels.iter().map(|(name, value)| format!("podLabels.{name} `{value}`"));
        let all: Vec<_> = conditions.chain(labels).collect();
        f.write_str(&all.join(", "))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}, and it has `{found}`", self.condition),
            None => write!(f, "{}, and it has none", self.condition),
        }
    }
}
