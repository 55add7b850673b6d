//! Whom a pod's records are of.
//!
//! What containerd was told when the pod was made is known from the start, and names the job of a CI pod. Who made
//! any other pod only the API server says, and it may be late: the first records of such a pod wait for it, not long, and
//! then say that it is pending.

use std::sync::Mutex;

use super::lock;
use crate::events::record::{GithubInfo, GitlabInfo, IdentityInfo, PodInfo, Record};

#[cfg(test)]
mod tests;

/// Records of one pod that wait at most; with one more nothing waits any longer.
const HELD: usize = 64;

/// Whom records are of, and those that wait until that is known.
#[derive(Debug, Default)]
pub struct Subject(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    info: SubjectInfo,
    standing: Standing,
    held: Vec<Record>,
}

/// Whom records are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectInfo {
    /// The pod, in Kubernetes.
    pub pod: Option<PodInfo>,
    /// The GitLab job.
    pub gitlab: Option<GitlabInfo>,
    /// The GitHub runner.
    pub github: Option<GithubInfo>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// All that will be known is known.
    #[default]
    Known,
    /// More is to come soon: records wait.
    Awaited,
    /// More is to come, who knows when.
    Pending,
}

impl Subject {
    /// One of whom all is known.
    #[must_use]
    pub fn known(info: SubjectInfo) -> Self {
        Self::new(info, Standing::Known)
    }

    /// One of whom the API server will tell more.
    #[must_use]
    pub fn awaited(info: SubjectInfo) -> Self {
        Self::new(info, Standing::Awaited)
    }

    fn new(info: SubjectInfo, standing: Standing) -> Self {
        Self(Mutex::new(State { info, standing, held: Vec::new() }))
    }

    /// Whether records wait.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        lock(&self.0).standing == Standing::Awaited
    }

    /// The pod, as far as it is known.
    pub(super) fn pod(&self) -> Option<PodInfo> {
        lock(&self.0).info.pod.clone()
    }

    /// Names in a record whom it is of, and returns what is to be written now: nothing while it waits.
    pub(super) fn name(&self, record: Record) -> Vec<Record> {
        let mut state = lock(&self.0);
        if state.standing != Standing::Awaited {
            return vec![state.fill(record)];
        }
        state.held.push(record);
        if state.held.len() > HELD { state.release(Standing::Pending) } else { Vec::new() }
    }

    /// Takes what is known now, if something was missing; what is to be written then. What was known before stays as it
    /// is: the first word counts, because later ones may be the job's own.
    pub(super) fn complete(&self, complete: impl FnOnce(&mut SubjectInfo)) -> Vec<Record> {
        let mut state = lock(&self.0);
        if state.standing == Standing::Known {
            return Vec::new();
        }
        complete(&mut state.info);
        state.release(Standing::Known)
    }

    /// Waits no longer; what is to be written then.
    pub(super) fn give_up(&self) -> Vec<Record> {
        let mut state = lock(&self.0);
        match state.standing {
            Standing::Awaited => state.release(Standing::Pending),
            Standing::Known | Standing::Pending => Vec::new(),
        }
    }
}

impl State {
    fn release(&mut self, standing: Standing) -> Vec<Record> {
        self.standing = standing;
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|record| self.fill(record)).collect()
    }

    fn fill(&self, record: Record) -> Record {
        let SubjectInfo { pod, gitlab, github } = self.info.clone();
        let is_known = self.standing == Standing::Known;
        let identity = (!is_known).then_some(IdentityInfo::Pending);
        Record { pod, gitlab, github, identity, ..record }
    }
}
