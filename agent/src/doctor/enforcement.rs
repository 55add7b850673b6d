//! The proof: weir's own programs are loaded and attached to a cgroup made for it, and a process in
//! that cgroup is refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    check::{Check, Subject},
    privileges::Privileges,
};
use crate::{
    datapath::{Datapath, DatapathError, slot::PodLimits},
    run::summary::chain,
    system::cgroup::{self, CgroupError},
};

mod attempt;

use attempt::{Attempt, Outcome};

const ENFORCEMENT: Subject = Subject::new("enforcement", "enforcement trial");

/// Names of the cgroups made here; the maker's process id follows.
const CGROUP_PREFIX: &str = "weir-doctor-";

/// Why nothing could be proven.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    /// The programs could not be loaded or attached.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// There is no cgroup to make one in.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The cgroup could not be made.
    #[error("making the cgroup {}", path.display())]
    Make {
        /// The cgroup.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No process could be started in the cgroup.
    #[error("trying to send from the cgroup {}", path.display())]
    Attempt {
        /// The cgroup.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

pub(super) fn check(privileges: &Privileges) -> Check {
    if !privileges.may_load() {
        return ENFORCEMENT.unchecked();
    }
    match trial() {
        Ok((loading_ms, outcomes)) => judge(loading_ms, outcomes),
        Err(error) => ENFORCEMENT.missing(
            chain(&error),
            "weir cannot enforce on this kernel",
            "see which of the checks above is not ok; a container needs the host's cgroup v2, writable",
        ),
    }
}

fn judge(loading_ms: u128, outcomes: [Outcome; 2]) -> Check {
    let [v4, v6] = outcomes;
    if outcomes.contains(&Outcome::Passed) {
        return ENFORCEMENT.missing(
            format!("a closed cgroup let a send pass (IPv4: {v4}, IPv6: {v6})"),
            "the programs load and attach, and do not run: nothing is enforced",
            "look for version 1 net_cls and net_prio classes, and report this kernel",
        );
    }
    if !outcomes.contains(&Outcome::Refused) {
        return ENFORCEMENT.missing(
            format!("no send could be tried (IPv4: {v4}, IPv6: {v6})"),
            "whether weir can enforce here is not known",
            "allow sockets in the seccomp filter of this container",
        );
    }
    ENFORCEMENT.ok(format!(
        "programs load (in {loading_ms} ms) and attach; in a closed cgroup a send is refused (IPv4: {v4}, IPv6: {v6})"
    ))
}

/// Loads, attaches, and tries to send; gives the milliseconds that loading took.
fn trial() -> Result<(u128, [Outcome; 2]), TrialError> {
    let parent = cgroup::own()?;
    clear(&parent);
    let start = Instant::now();
    let (datapath, _ring) = Datapath::load()?;
    let loading_ms = start.elapsed().as_millis();
    let limits = PodLimits { entries: 16, flows: 16, processes: 16, clients: 16, wire_flows: 16 };
    let slot = datapath.prepare_slot(limits)?;
    let cgroup = TrialCgroup::make(&parent)?;
    // Not pinned, the links end with this process at the latest. No state is ever written, so the
    // cgroup stays closed.
    let _attachment = datapath.attach(&cgroup.path, slot.number(), None)?;
    let attempt = Attempt::prepare(&cgroup.path)
        .map_err(|source| TrialError::Attempt { path: cgroup.path.clone(), source })?;
    let outcomes = attempt
        .run()
        .map_err(|source| TrialError::Attempt { path: cgroup.path.clone(), source })?;
    Ok((loading_ms, outcomes))
}

/// A cgroup that is removed when it is dropped.
#[derive(Debug)]
struct TrialCgroup {
    path: PathBuf,
}

impl TrialCgroup {
    fn make(parent: &Path) -> Result<Self, TrialError> {
        let path = parent.join(format!("{CGROUP_PREFIX}{}", std::process::id()));
        fs::create_dir(&path).map_err(|source| TrialError::Make { path: path.clone(), source })?;
        Ok(Self { path })
    }
}

impl Drop for TrialCgroup {
    fn drop(&mut self) {
        if let Err(error) = cgroup::remove(&self.path) {
            tracing::warn!(cgroup = %self.path.display(), %error, "a cgroup was left behind");
        }
    }
}

/// Removes the cgroups of doctors that were killed.
fn clear(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(maker) = name.to_str().and_then(|name| name.strip_prefix(CGROUP_PREFIX)) else {
            continue;
        };
        let is_dead = maker.parse::<u32>().is_ok() && !Path::new("/proc").join(maker).exists();
        if is_dead && let Err(error) = cgroup::remove(&entry.path()) {
            tracing::warn!(cgroup = %entry.path().display(), %error, "a cgroup was left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn one_send_that_passes_is_one_too_many() {
        use Outcome::{Impossible, Passed, Refused};
        for (outcomes, state) in [
            ([Refused, Refused], State::Ok),
            ([Refused, Impossible], State::Ok),
            ([Impossible, Refused], State::Ok),
            ([Refused, Passed], State::Missing),
            ([Passed, Refused], State::Missing),
            ([Impossible, Impossible], State::Missing),
        ] {
            assert_eq!(judge(1, outcomes).state, state, "{outcomes:?}");
        }
    }

    #[test]
    fn the_cgroups_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let folder = |name: String| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        // Above the largest process id that Linux gives (PID_MAX_LIMIT).
        let dead = folder(format!("{CGROUP_PREFIX}4194305"));
        let alive = folder(format!("{CGROUP_PREFIX}{}", std::process::id()));
        let others = folder("weir-doctor-x".to_owned());
        clear(parent.path());
        assert!(!dead.exists() && alive.exists() && others.exists());
    }
}
