//! The one table of what hangs on the kernel's version, and the probes that ask the kernel itself.
//!
//! The versions are those of the mainline; a distribution may have brought a feature to an older
//! kernel, so the probe decides and the version only says what to look for. From 5.10 on all of it was
//! seen to work.

use super::{
    check::{Check, Subject},
    privileges::Privileges,
    release::Release,
};
use crate::datapath::probe::{
    HelperKind::{
        GetCurrentComm, GetCurrentPidTgid, GetCurrentTask, GetLocalStorage, KtimeGetNs,
        RingbufReserve, SkFullsock, SkStorageGet, SkbLoadBytes,
    },
    MapKind, Probe,
    ProgramKind::{CgroupSkb, CgroupSock, CgroupSockAddr, SchedClassifier},
    Support,
};

/// The oldest kernel that weir was tried on.
pub(super) const OLDEST_TRIED: Release = Release::new(5, 10);

/// Before this, a socket that was given a `net_cls` or `net_prio` class, and from then on every new
/// socket of the machine, was in no cgroup of version 2 as far as programs are concerned (Linux commit
/// 8520e224f547).
pub(super) const CLASSES_BESIDE_CGROUP2: Release = Release::new(5, 15);

/// What the programs need of the kernel.
#[derive(Debug)]
struct Feature {
    name: &'static str,
    /// The first mainline kernel that has it, as far as that is known; else the oldest that was tried.
    since: Release,
    /// What weir does with it.
    purpose: &'static str,
    probe: Probe,
}

const fn feature(
    name: &'static str,
    (major, minor): (u32, u32),
    purpose: &'static str,
    probe: Probe,
) -> Feature {
    Feature { name, since: Release::new(major, minor), purpose, probe }
}

const PROGRAMS: [Feature; 4] = [
    feature("cgroup_skb", (4, 10), "the verdict on every packet", Probe::Program(CgroupSkb)),
    feature("cgroup_sock", (4, 10), "naming who made a socket", Probe::Program(CgroupSock)),
    feature(
        "cgroup_sock_addr",
        (4, 17),
        "refusing a connect at once, and catching DNS",
        Probe::Program(CgroupSockAddr),
    ),
    feature("sched_cls", (4, 1), "the second layer", Probe::Program(SchedClassifier)),
];

const MAPS: [Feature; 8] = [
    feature("array", (3, 19), "the state of each pod", Probe::Map(MapKind::Array)),
    feature("hash", (3, 19), "allowed addresses", Probe::Map(MapKind::Hash)),
    feature("lru_hash", (4, 10), "who asks for names", Probe::Map(MapKind::LruHash)),
    feature("lpm_trie", (4, 11), "trusted networks", Probe::Map(MapKind::LpmTrie)),
    feature(
        "array_of_maps",
        (4, 12),
        "a table of its own for each pod",
        Probe::Map(MapKind::ArrayOfMaps),
    ),
    feature(
        "cgroup_storage",
        (4, 19),
        "finding the pod of a hook",
        Probe::Map(MapKind::CgroupStorage),
    ),
    feature("sk_storage", (5, 2), "admission of connected sockets", Probe::Map(MapKind::SkStorage)),
    feature("ringbuf", (5, 8), "events", Probe::Map(MapKind::RingBuf)),
];

const HELPERS: [Feature; 14] = [
    helper("get_local_storage", (4, 19), "finding the pod of a hook", CgroupSkb, GetLocalStorage),
    helper("skb_load_bytes", (5, 10), "reading headers", CgroupSkb, SkbLoadBytes),
    helper("ktime_get_ns", (4, 10), "expiry of allowed addresses", CgroupSkb, KtimeGetNs),
    helper("sk_fullsock", (5, 1), "admission of connected sockets", CgroupSkb, SkFullsock),
    helper("sk_storage_get", (5, 2), "admission of connected sockets", CgroupSkb, SkStorageGet),
    helper("ringbuf_reserve", (5, 8), "events", CgroupSkb, RingbufReserve),
    helper(
        "get_local_storage",
        (4, 19),
        "finding the pod of a hook",
        CgroupSockAddr,
        GetLocalStorage,
    ),
    helper(
        "sk_storage_get",
        (5, 10),
        "admission of connected sockets",
        CgroupSockAddr,
        SkStorageGet,
    ),
    helper("sk_storage_get", (5, 10), "naming who made a socket", CgroupSock, SkStorageGet),
    helper("sk_storage_get", (5, 2), "the second layer", SchedClassifier, SkStorageGet),
    helper("skb_load_bytes", (4, 5), "the second layer", SchedClassifier, SkbLoadBytes),
    helper("get_current_pid_tgid", (5, 10), "naming processes", CgroupSockAddr, GetCurrentPidTgid),
    helper("get_current_comm", (5, 10), "naming processes", CgroupSockAddr, GetCurrentComm),
    helper(
        "get_current_task",
        (5, 10),
        "naming binaries and ancestors",
        CgroupSockAddr,
        GetCurrentTask,
    ),
];

const fn helper(
    name: &'static str,
    since: (u32, u32),
    purpose: &'static str,
    program: crate::datapath::probe::ProgramKind,
    helper: crate::datapath::probe::HelperKind,
) -> Feature {
    feature(name, since, purpose, Probe::Helper(program, helper))
}

/// What the programs are made of, kind by kind.
pub(super) fn check(privileges: &Privileges) -> [Check; 3] {
    [
        (Subject::new("program_types", "program types"), &PROGRAMS[..]),
        (Subject::new("map_types", "map types"), &MAPS[..]),
        (Subject::new("helpers", "helper functions"), &HELPERS[..]),
    ]
    .map(|(subject, features)| {
        if privileges.may_load() {
            judge(subject, features, |feature| feature.probe.run())
        } else {
            subject.unchecked()
        }
    })
}

fn judge(subject: Subject, features: &[Feature], probe: impl Fn(&Feature) -> Support) -> Check {
    let mut lacking = Vec::new();
    let mut purposes = Vec::new();
    for feature in features {
        let why = match probe(feature) {
            Support::Yes => continue,
            Support::No => format!("expected from Linux {} on", feature.since),
            Support::Unknown(why) => why,
        };
        lacking.push(format!("{} ({why})", feature.label()));
        if !purposes.contains(&feature.purpose) {
            purposes.push(feature.purpose);
        }
    }
    if lacking.is_empty() {
        let mut names: Vec<_> = features.iter().map(|feature| feature.name).collect();
        names.sort_unstable();
        names.dedup();
        return subject.ok(format!("all {}: {}", features.len(), names.join(", ")));
    }
    subject.missing(
        format!("{} of {} missing: {}", lacking.len(), features.len(), lacking.join(", ")),
        format!("weir needs them for {}", purposes.join("; ")),
        format!(
            "use a kernel from {OLDEST_TRIED} on with CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL"
        ),
    )
}

impl Feature {
    /// The name, and for a helper from where it is called.
    fn label(&self) -> String {
        let caller = match self.probe {
            Probe::Program(_) | Probe::Map(_) => return self.name.to_owned(),
            Probe::Helper(CgroupSkb, _) => "cgroup_skb",
            Probe::Helper(CgroupSock, _) => "cgroup_sock",
            Probe::Helper(CgroupSockAddr, _) => "cgroup_sock_addr",
            Probe::Helper(SchedClassifier, _) => "sched_cls",
        };
        format!("{} in {caller}", self.name)
    }
}

#[cfg(test)]
mod tests;
