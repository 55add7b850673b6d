//! What sees the whole machine: the process table, and the hooks of security modules. They are loaded and attached, and
//! one must have been called.

use super::{
    check::{Check, Subject},
    privileges::Privileges,
};
use crate::{
    datapath::{
        Datapath,
        guard::{Guard, GuardError},
    },
    run::summary::chain,
};

const PROCESSES: Subject = Subject::new("processes", "process table");
const MODULES: Subject = Subject::new("lsm", "BPF security modules");

pub(super) fn check(privileges: &Privileges) -> [Check; 2] {
    if !privileges.may_load() {
        return [PROCESSES.unchecked(), MODULES.unchecked()];
    }
    match Datapath::load() {
        Ok((datapath, _ring)) => judge(&datapath.guard(None)),
        // That is for the trial of the enforcement to say.
        Err(error) => [PROCESSES, MODULES].map(|subject| {
            let nothing = "nothing, while weir cannot enforce at all";
            subject.weaker(chain(&error), nothing, "see the enforcement trial")
        }),
    }
}

fn judge(guard: &Guard) -> [Check; 2] {
    let processes = match &guard.processes {
        Ok(_) => PROCESSES.ok("processes are followed from their first instruction to their end"),
        Err(error) => PROCESSES.weaker(
            chain(error),
            "ancestors in records are those that still run when a process opens its first socket",
            remedy(error),
        ),
    };
    let modules = match &guard.modules {
        Ok(_) => MODULES.ok("weir's hooks are attached, and are called"),
        Err(error) => MODULES.weaker(
            chain(error),
            "`credwatch` watches nothing; packet sockets, bpf() calls and processes that leave their cgroup are not \
             refused where they happen: a pod's veth judges what they send, `weir run` takes the capabilities \
             for them away",
            remedy(error),
        ),
    };
    [processes, modules]
}

fn remedy(error: &GuardError) -> &'static str {
    match error {
        GuardError::NotCalled { .. } => {
            "add `bpf` to the list in /sys/kernel/security/lsm by the kernel's `lsm=` parameter"
        }
        GuardError::Types(_) => "use a kernel with CONFIG_DEBUG_INFO_BTF",
        GuardError::Refused { .. } | GuardError::System { .. } => {
            "use a kernel with CONFIG_BPF_LSM, CONFIG_BPF_EVENTS and CONFIG_FTRACE"
        }
        GuardError::Unfounded => "see the process table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn what_is_not_called_is_weaker_and_says_what_to_do() {
        let listed = "lockdown,yama".to_owned();
        let guard = Guard {
            processes: Err(GuardError::Types("no".to_owned())),
            modules: Err(GuardError::NotCalled { listed }),
        };
        let [processes, modules] = judge(&guard);
        assert_eq!((processes.state, modules.state), (State::Weaker, State::Weaker));
        assert!(modules.found.contains("lockdown,yama"), "{modules:?}");
        assert!(modules.remedy.unwrap().contains("lsm="));
    }
}
