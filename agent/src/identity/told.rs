//! What a record says of the job that it is of, and whose word that is.

use std::fmt;

use crate::events::record::{GitlabInfo, Record};

#[cfg(test)]
mod tests;

/// Something that is said of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told<T> {
    /// By the platform.
    Fact(T),
    /// By the job, which may have made it up.
    Claim(T),
}

impl<T> Told<T> {
    /// What is said.
    pub const fn value(&self) -> &T {
        match self {
            Self::Fact(value) | Self::Claim(value) => value,
        }
    }

    /// What is said, if it is more than the job's word.
    pub fn fact(self) -> Option<T> {
        match self {
            Self::Fact(value) => Some(value),
            Self::Claim(_) => None,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Told<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact(value) => value.fmt(f),
            Self::Claim(value) => write!(f, "{value} (the job's word)"),
        }
    }
}

impl GitlabInfo {
    fn told<T>(&self, field: &str, value: T) -> Told<T> {
        if self.untrusted.iter().any(|name| name == field) {
            Told::Claim(value)
        } else {
            Told::Fact(value)
        }
    }

    /// The path of the project.
    #[must_use]
    pub fn told_project(&self) -> Option<Told<&str>> {
        self.project.as_deref().map(|path| self.told("project", path))
    }

    /// The id of the project.
    #[must_use]
    pub fn told_project_id(&self) -> Option<Told<u64>> {
        self.project_id.map(|id| self.told("project_id", id))
    }

    /// The id of the job.
    #[must_use]
    pub fn told_job_id(&self) -> Option<Told<u64>> {
        self.job_id.map(|id| self.told("job_id", id))
    }

    /// The name of the job.
    #[must_use]
    pub fn told_job_name(&self) -> Option<Told<&str>> {
        self.job_name.as_deref().map(|name| self.told("job_name", name))
    }

    /// The link to the job.
    #[must_use]
    pub fn told_job_url(&self) -> Option<Told<&str>> {
        self.job_url.as_deref().map(|url| self.told("job_url", url))
    }
}

/// The job of a record in a few words: its link, its id, or its pod; none outside a pod.
#[must_use]
pub fn job(record: &Record) -> Option<String> {
    let gitlab = record.gitlab.as_ref();
    if let Some(url) = gitlab.and_then(GitlabInfo::told_job_url) {
        return Some(url.to_string());
    }
    if let Some(id) = gitlab.and_then(GitlabInfo::told_job_id) {
        return Some(format!("job {id}"));
    }
    let pod = record.pod.as_ref()?;
    Some(format!("pod {}/{}", pod.namespace, pod.name))
}
