//! Who tried, and what.

use std::fmt;

use crate::{
    events::record::{Destination, GitlabInfo, Record},
    identity::told::Told,
};

use super::text::short;

/// Who: a job of a project, the pods of a namespace, or a machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Who {
    /// A job of a CI project, by its name, so that its runs add up.
    Job { project: Told<String>, job: Option<Told<String>> },
    /// Pods of no project.
    Namespace(String),
    /// A command under `weir run`.
    Machine(String),
}

impl Who {
    pub(super) fn of(record: &Record) -> Self {
        if let Some(gitlab) = &record.gitlab
            && let Some(project) = project(gitlab)
        {
            let job = gitlab.told_job_name().map(|job| match job {
                Told::Fact(name) => Told::Fact(short(name)),
                Told::Claim(name) => Told::Claim(short(name)),
            });
            return Self::Job { project, job };
        }
        match &record.pod {
            Some(pod) => Self::Namespace(short(&pod.namespace)),
            None => Self::Machine(short(&record.node)),
        }
    }
}

/// What a fact says before what a claim says, and a path before an id.
fn project(gitlab: &GitlabInfo) -> Option<Told<String>> {
    let id = gitlab.told_project_id();
    let path = gitlab.told_project();
    if let Some(Told::Fact(path)) = path {
        return Some(Told::Fact(short(path)));
    }
    if let Some(Told::Fact(id)) = id {
        let claimed = path.map(|path| format!(" (says: {})", short(path.value())));
        return Some(Told::Fact(format!("project {id}{}", claimed.unwrap_or_default())));
    }
    let path = path.map(|path| short(path.value()));
    path.or_else(|| id.map(|id| format!("project {}", id.value()))).map(Told::Claim)
}

/// Where to, as far as rows tell destinations apart: a name's addresses are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Where {
    /// The name, or the address where no name led to it.
    host: String,
    port: Option<u16>,
    proto: String,
}

impl Where {
    pub(super) fn of(destination: &Destination) -> Self {
        let address = || destination.ip.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
        let host = destination.host.as_deref().map_or_else(address, short);
        Self { host, port: destination.port, proto: short(&destination.proto) }
    }

    /// Where those went that found no room to be told apart.
    pub(super) fn untold() -> Self {
        Self { host: "(many)".to_owned(), port: None, proto: String::new() }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// `443/tcp`, `icmp`, or `question`.
    pub(super) fn port(&self) -> String {
        match (self.proto.as_str(), self.port) {
            ("dns", None) => "question".to_owned(),
            (proto, None) => proto.to_owned(),
            (proto, Some(port)) => format!("{port}/{proto}"),
        }
    }
}

/// One row of who tried to reach what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Attempt {
    pub(super) who: Who,
    pub(super) to: Where,
    pub(super) verdict: Verdict,
    pub(super) reason: &'static str,
    pub(super) process: String,
}

/// What became of an attempt that no rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Verdict {
    Refused,
    Audited,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Audited => "audited",
        })
    }
}
