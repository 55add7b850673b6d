//! Control groups of version 2, which the hooks are attached to.

use std::{fs, path::PathBuf};

use super::{
    check::{Check, Subject},
    features::CLASSES_BESIDE_CGROUP2,
    release::Running,
};
use crate::system::cgroup::{self, CgroupError};

const CGROUPS: Subject = Subject::new("cgroup2", "cgroup v2");

pub(super) fn check(running: Option<&Running>) -> Check {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    judge(cgroup::root(), &membership, running)
}

/// `membership` is `/proc/self/cgroup` (cgroups(7)): `0::/path` for version 2, else a hierarchy of
/// version 1 with its controllers.
fn judge(root: Result<PathBuf, CgroupError>, membership: &str, running: Option<&Running>) -> Check {
    let cannot = "there is nothing that weir could attach its programs to";
    let root = match root {
        Ok(root) => root,
        Err(error) => {
            return CGROUPS.missing(
                error.to_string(),
                cannot,
                "mount one: mount -t cgroup2 none /sys/fs/cgroup/unified",
            );
        }
    };
    if !membership.lines().any(|line| line.starts_with("0::")) {
        return CGROUPS.missing(
            format!("{}, but this process is in none of its groups", root.display()),
            cannot,
            "run weir outside this container, or give the container a cgroup of version 2",
        );
    }
    let controllers: Vec<&str> = membership
        .lines()
        .filter_map(|line| line.split(':').nth(1))
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
        .collect();
    if controllers.is_empty() {
        return CGROUPS.ok(format!("{} (pure)", root.display()));
    }
    let found = format!("{} (hybrid: version 1 has {})", root.display(), controllers.join(", "));
    let has_classes = controllers.iter().any(|name| ["net_cls", "net_prio"].contains(name));
    let mixes_up = running.is_none_or(|running| running.release < CLASSES_BESIDE_CGROUP2);
    if has_classes && mixes_up {
        return CGROUPS.weaker(
            found,
            format!(
                "before Linux {CLASSES_BESIDE_CGROUP2}, once anything on this machine sets a net_cls or \
                 net_prio class, new sockets pass by every hook, unless the distribution repaired it"
            ),
            "boot with cgroup_no_v1=net_cls,net_prio, or with pure cgroup v2",
        );
    }
    CGROUPS.ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{State, release::Release};

    fn running(major: u32, minor: u32) -> Running {
        Running { release: Release::new(major, minor), text: String::new() }
    }

    #[track_caller]
    fn found(membership: &str, running: &Running) -> (State, String) {
        let check = judge(Ok(PathBuf::from("/cg")), membership, Some(running));
        (check.state, check.found)
    }

    #[test]
    fn pure_and_hybrid_are_both_well() {
        assert_eq!(found("0::/a\n", &running(6, 1)), (State::Ok, "/cg (pure)".into()));
        assert_eq!(
            found("12:cpu,cpuacct:/\n1:name=systemd:/\n0::/a\n", &running(5, 10)),
            (State::Ok, "/cg (hybrid: version 1 has cpu, cpuacct, name=systemd)".into())
        );
    }

    #[test]
    fn classes_of_version_1_take_sockets_away_on_old_kernels() {
        for controllers in ["net_cls", "net_prio", "net_cls,net_prio", "cpu,net_cls"] {
            let membership = format!("3:{controllers}:/\n0::/\n");
            assert_eq!(found(&membership, &running(5, 14)).0, State::Weaker, "{controllers}");
            assert_eq!(found(&membership, &running(5, 15)).0, State::Ok, "{controllers}");
        }
    }

    #[test]
    fn without_version_2_nothing_can_be_enforced() {
        assert_eq!(found("1:cpu:/\n", &running(6, 1)).0, State::Missing);
        let check = judge(Err(CgroupError::NotMounted), "0::/\n", None);
        assert_eq!(check.state, State::Missing);
    }
}
