//! What this process may do.

use caps::{CapSet, Capability};
use nix::unistd::geteuid;

use super::check::{Check, Subject};
use crate::datapath::locked_memory::{self, LockedMemoryLimit};

const PRIVILEGES: Subject = Subject::new("privileges", "privileges");
const LOCKED_MEMORY: Subject = Subject::new("locked_memory", "locked memory");
const NO_NEW_PRIVS: Subject = Subject::new("no_new_privs", "no_new_privs");

/// What loading programs and attaching them to cgroups takes (capabilities(7)).
const TO_LOAD: [Capability; 3] =
    [Capability::CAP_SYS_ADMIN, Capability::CAP_BPF, Capability::CAP_NET_ADMIN];
/// What taking capabilities away from the command takes (`PR_CAPBSET_DROP`).
const TO_CONFINE: [Capability; 1] = [Capability::CAP_SETPCAP];

/// The privileges of this process, as far as weir needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Privileges {
    root: bool,
    lacking: Vec<Capability>,
}

impl Privileges {
    pub(super) fn of_this_process() -> Self {
        let lacks = |capability: &Capability| {
            !caps::has_cap(None, CapSet::Effective, *capability).unwrap_or(false)
        };
        let lacking = TO_LOAD.into_iter().chain(TO_CONFINE).filter(lacks).collect();
        Self { root: geteuid().is_root(), lacking }
    }

    /// Whether programs can be loaded and attached at all.
    pub(super) fn may_load(&self) -> bool {
        self.root && !self.lacking.iter().any(|lacking| TO_LOAD.contains(lacking))
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { root: false, lacking: TO_LOAD.into_iter().chain(TO_CONFINE).collect() }
    }
}

pub(super) fn check(privileges: &Privileges) -> Check {
    if !privileges.root {
        return PRIVILEGES.missing(
            "not root",
            "weir cannot make a cgroup or load programs",
            "run weir as root",
        );
    }
    if privileges.lacking.is_empty() {
        let names = TO_LOAD.iter().chain(&TO_CONFINE).map(ToString::to_string);
        let names: Vec<_> = names.collect();
        return PRIVILEGES.ok(format!("root with {}", names.join(", ")));
    }
    let names: Vec<_> = privileges.lacking.iter().map(ToString::to_string).collect();
    let consequence = if privileges.may_load() {
        "`weir run` cannot take capabilities away from its command; only --keep-caps works"
    } else {
        "weir cannot make a cgroup or load programs"
    };
    PRIVILEGES.missing(
        format!("root without {}", names.join(", ")),
        consequence,
        "grant them to this container or service (in a container: --privileged, or each by name)",
    )
}

/// What older kernels count programs and tables by.
pub(super) fn locked_memory() -> Check {
    judge_locked_memory(locked_memory::raise())
}

fn judge_locked_memory(limit: Option<LockedMemoryLimit>) -> Check {
    let Some(limit) = limit else {
        return LOCKED_MEMORY.ok("as much as weir needs");
    };
    LOCKED_MEMORY.weaker(
        format!("{limit}, and this process may not have more"),
        "Linux before 5.11 counts programs and tables by it: they do not load, or pods get no tables",
        "give weir CAP_SYS_RESOURCE (`addCapabilities: [SYS_RESOURCE]` of the chart), or raise the limit: ulimit -l unlimited",
    )
}

/// Whether the kernel can bar the command from gaining privileges.
pub(super) fn no_new_privs() -> Check {
    judge_no_new_privs(nix::sys::prctl::get_no_new_privs())
}

fn judge_no_new_privs(here: nix::Result<bool>) -> Check {
    match here {
        Ok(true) => NO_NEW_PRIVS.ok("set for this process already, and for the command"),
        Ok(false) => NO_NEW_PRIVS.ok("can be set; `weir run` sets it for the command"),
        Err(error) => NO_NEW_PRIVS.missing(
            format!("cannot be asked for: {error}"),
            "`weir run` does not start a command that could regain privileges by a setuid program",
            "let the seccomp filter of this container pass prctl",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn found(root: bool, lacking: &[Capability]) -> (State, String) {
        let check = check(&Privileges { root, lacking: lacking.to_vec() });
        (check.state, check.found)
    }

    #[test]
    fn all_of_them_or_none() {
        let all = "root with CAP_SYS_ADMIN, CAP_BPF, CAP_NET_ADMIN, CAP_SETPCAP";
        assert_eq!(found(true, &[]), (State::Ok, all.to_owned()));
        assert_eq!(found(false, &[]), (State::Missing, "not root".to_owned()));
        let lacking = [Capability::CAP_BPF];
        assert_eq!(found(true, &lacking), (State::Missing, "root without CAP_BPF".to_owned()));
    }

    #[test]
    fn loading_needs_root_and_three_capabilities() {
        assert!(Privileges { root: true, lacking: vec![] }.may_load());
        assert!(Privileges { root: true, lacking: TO_CONFINE.to_vec() }.may_load());
        assert!(!Privileges { root: false, lacking: vec![] }.may_load());
        for lacking in TO_LOAD {
            assert!(!Privileges { root: true, lacking: vec![lacking] }.may_load());
        }
    }

    #[test]
    fn a_limit_that_stays_is_told() {
        assert_eq!(judge_locked_memory(None).state, State::Ok);
        let check = judge_locked_memory(Some(LockedMemoryLimit(8 << 20)));
        assert_eq!(check.state, State::Weaker);
        assert!(check.found.starts_with("8192 KiB"), "{check:?}");
    }

    #[test]
    fn no_new_privs_is_there_or_refused() {
        assert_eq!(judge_no_new_privs(Ok(false)).state, State::Ok);
        assert_eq!(judge_no_new_privs(Ok(true)).state, State::Ok);
        assert_eq!(judge_no_new_privs(Err(nix::Error::EPERM)).state, State::Missing);
    }
}
