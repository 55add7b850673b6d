//! The programs that see the whole machine: tracepoints that keep the processes of pods, and hooks of security modules,
//! which close what no cgroup hook can see. Not every kernel has them or calls them; what there is is found by trying.
//!
//! Invariant: a hook that was attached and is not called is taken away again, and counts as one that is not there.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::Path,
};

use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError},
    util::KernelVersion,
};

use super::{attach::lock, error::DatapathError, object::Datapath, syscall};
use crate::events::record::Lack;

/// A program, and the hook it is for.
pub(super) type Hook = (&'static str, &'static str);

/// Programs at tracepoints, and where: together with those that see births they know whose a process is.
pub(super) const TRACEPOINTS: [Hook; 4] = [
    ("weir_cgroup_rmdir", "cgroup_rmdir"),
    ("weir_cgroup_mkdir", "cgroup_mkdir"),
    ("weir_exit", "sched_process_exit"),
    ("weir_exec", "sched_process_exec"),
];

/// What sees births where each program is called for each.
pub(super) const BIRTHS: [Hook; 1] = [("weir_fork", "sched_process_fork")];

/// What sees births, and ends that were missed, where a program may be preempted and is not called meanwhile.
pub(super) const PREEMPTED_BIRTHS: [Hook; 2] =
    [("weir_free", "sched_process_free"), ("weir_wakeup_new", "sched_wakeup_new")];

/// Those that see births on a kernel of this version: tracepoints are preempted from Linux 7.0 on.
fn births(kernel: KernelVersion) -> &'static [Hook] {
    // The others run for each thread and each task of the machine.
    if kernel < KernelVersion::new(7, 0, 0) { &BIRTHS } else { &PREEMPTED_BIRTHS }
}

/// Programs at hooks of security modules, and where.
const HOOKS: [Hook; 12] = [
    ("weir_task_alloc", "task_alloc"),
    ("weir_socket_create", "socket_create"),
    ("weir_socket_connect", "socket_connect"),
    ("weir_socket_sendmsg", "socket_sendmsg"),
    ("weir_bpf", "bpf"),
    ("weir_bpf_prog", "bpf_prog"),
    ("weir_inode_free", "inode_free_security"),
    ("weir_inode_unlink", "inode_unlink"),
    ("weir_inode_rmdir", "inode_rmdir"),
    ("weir_inode_rename", "inode_rename"),
    ("weir_inode_link", "inode_link"),
    ("weir_file_open", "file_open"),
];

/// Where the kernel lists the security modules that it calls.
pub const SECURITY_MODULES: &str = "/sys/kernel/security/lsm";

/// Why a part is not there.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The kernel does not describe what the programs read.
    #[error("the kernel's type information cannot be read: {0}")]
    Types(String),
    /// The kernel refused a program, or has no such hook.
    #[error("the program {program} was refused: {reason}")]
    Refused {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// The system refused something else.
    #[error("{action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// All is attached, and nothing is called.
    #[error(
        "`bpf` is not among the security modules that this kernel calls ({listed}); start it with `lsm=…,bpf`"
    )]
    NotCalled {
        /// Those that it calls.
        listed: String,
    },
    /// It stands on another part that is not there.
    #[error("processes are not followed")]
    Unfounded,
}

/// The links of one part, in force for as long as they are held or pinned.
#[derive(Debug)]
pub struct Links(#[expect(dead_code, reason = "held for their drop, which detaches")] Vec<OwnedFd>);

/// What this kernel has of them.
#[derive(Debug)]
pub struct Guard {
    /// The process table.
    pub processes: Result<Links, GuardError>,
    /// The hooks of security modules.
    pub modules: Result<Links, GuardError>,
}

impl Guard {
    /// What no tree of this kernel has.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lack> {
        let found = [(Lack::Lsm, self.has_modules()), (Lack::Processes, self.has_processes())];
        found.into_iter().filter(|(_, has)| !has).map(|(lack, _)| lack).collect()
    }

    /// Whether processes are known from their first instruction to their end.
    #[must_use]
    pub const fn has_processes(&self) -> bool {
        self.processes.is_ok()
    }

    /// Whether the hooks of security modules are in force.
    #[must_use]
    pub const fn has_modules(&self) -> bool {
        self.modules.is_ok()
    }
}

impl Datapath {
    /// Attaches what this kernel has. With a folder on bpffs the links are pinned there, in the place of those of an
    /// earlier agent, which go on until then.
    #[must_use]
    pub fn guard(&self, pins: Option<&Path>) -> Guard {
        let types = match &self.guard_offsets {
            Ok(_) => Btf::from_sys_fs().map_err(|error| GuardError::Types(error.to_string())),
            Err(reason) => Err(GuardError::Types(reason.clone())),
        };
        // A kernel of which nobody knows is taken for a new one, as most are.
        let kernel = KernelVersion::current().unwrap_or(KernelVersion::new(u8::MAX, 0, 0));
        let tracepoints = [&TRACEPOINTS, births(kernel)].concat();
        let guard = match types {
            Ok(types) => self.attach_guard(&types, pins, &tracepoints, &HOOKS),
            Err(error) => Guard { processes: Err(error), modules: Err(GuardError::Unfounded) },
        };
        // The kernel's types take tens of megabytes to read.
        crate::bundle::memory::give_back();
        guard
    }

    fn attach_guard(
        &self,
        types: &Btf,
        pins: Option<&Path>,
        tracepoints: &[Hook],
        hooks: &[Hook],
    ) -> Guard {
        let mut programs = lock(&self.programs);
        let processes = links(&mut programs, tracepoints, types, pins);
        let modules = match &processes {
            Ok(_) => links(&mut programs, hooks, types, pins).and_then(|links| {
                drop(programs);
                self.prove(links)
            }),
            Err(_) => Err(GuardError::Unfounded),
        };
        if let Some(folder) = pins {
            let mut attached = Vec::new();
            attached.extend(processes.iter().flat_map(|_| tracepoints));
            attached.extend(modules.iter().flat_map(|_| hooks));
            keep_only(folder, &attached);
        }
        Guard { processes, modules }
    }

    /// Acts once, and looks whether a hook was called.
    fn prove(&self, links: Links) -> Result<Links, GuardError> {
        let failed = |source| GuardError::System { action: "making a socket", source };
        let before = self.fired();
        let _socket = UnixDatagram::unbound().map_err(failed)?;
        if self.fired() > before {
            return Ok(links);
        }
        let listed = fs::read_to_string(SECURITY_MODULES);
        let listed = listed.map_or_else(
            |_error| "a list that cannot be read".to_owned(),
            |text| text.trim().to_owned(),
        );
        Err(GuardError::NotCalled { listed })
    }

    /// How often this process met a hook of a security module.
    fn fired(&self) -> u64 {
        lock(&self.tables).fired.get(&0, 0).unwrap_or(0)
    }
}

/// Takes away the pins of all other programs: of those that were pinned before one was refused, since what counts as
/// missing is not there in part, and of those that only an earlier agent had.
fn keep_only(folder: &Path, attached: &[&Hook]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if attached.iter().all(|(program, _)| name != *program) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Attaches each of these programs to its hook, or none.
pub(super) fn links(
    programs: &mut Ebpf,
    wanted: &[Hook],
    types: &Btf,
    pins: Option<&Path>,
) -> Result<Links, GuardError> {
    let mut links = Vec::with_capacity(wanted.len());
    for (program, hook) in wanted {
        let refused = |reason| GuardError::Refused { program, reason };
        let loaded =
            load(programs, program, hook, types).map_err(|error| refused(brief(&error)))?;
        let link =
            syscall::link_to_tracing(loaded.as_fd()).map_err(|error| refused(error.to_string()))?;
        if let Some(folder) = pins {
            put(&link, folder, program)
                .map_err(|source| GuardError::System { action: "pinning a link", source })?;
        }
        links.push(link);
    }
    Ok(Links(links))
}

fn load(
    programs: &mut Ebpf,
    name: &'static str,
    hook: &str,
    types: &Btf,
) -> Result<OwnedFd, DatapathError> {
    let program = programs.program_mut(name).ok_or(DatapathError::Missing(name))?;
    let refused = |source| DatapathError::Program { program: name, source: Box::new(source) };
    let fd = match program {
        Program::Lsm(program) => {
            program.load(hook, types).map_err(refused)?;
            program.fd().map_err(refused)?
        }
        Program::BtfTracePoint(program) => {
            program.load(hook, types).map_err(refused)?;
            program.fd().map_err(refused)?
        }
        _ => return Err(DatapathError::Missing(name)),
    };
    fd.as_fd().try_clone_to_owned().map_err(DatapathError::Ring)
}

/// What the kernel said, and of the verifier's log the end, where it says why.
fn brief(error: &DatapathError) -> String {
    let DatapathError::Program { source, .. } = error else { return error.to_string() };
    let Some(ProgramError::LoadError { io_error, verifier_log }) = source.downcast_ref() else {
        return source.to_string();
    };
    let log = verifier_log.to_string();
    // Its statistics are behind that.
    let said = |line: &&str| {
        const STATISTICS: [&str; 4] =
            ["processed ", "stack depth ", "subprog ", "verification time "];
        !line.is_empty() && !STATISTICS.iter().any(|word| line.starts_with(word))
    };
    match log.lines().map(str::trim).rfind(said) {
        Some(last) => format!("{io_error}: {last}"),
        None => io_error.to_string(),
    }
}

/// Pins a link in the place of the one that is there: the kernel cannot give these links another program, and for a
/// moment both are in force.
fn put(link: &OwnedFd, folder: &Path, name: &str) -> io::Result<()> {
    let (place, beside) = (folder.join(name), folder.join(format!("{name}-next")));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    syscall::pin(link.as_fd(), &beside)?;
    fs::rename(&beside, &place)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    use tempfile::TempDir;

    use super::*;

    /// A BPF file system, for as long as this lives.
    struct Pins(TempDir);

    impl Pins {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let none = None::<&str>;
            mount(Some("bpf"), folder.path(), Some("bpf"), MsFlags::empty(), none).unwrap();
            let pins = Self(folder);
            // The kernel may have pins of its own in the first one.
            fs::create_dir(pins.folder()).unwrap();
            pins
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("hooks")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder()).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        /// Attaches these, as an agent that starts.
        fn attach(&self, tracepoints: &[Hook], hooks: &[Hook]) -> Guard {
            let types = Btf::from_sys_fs().unwrap();
            let (datapath, _ring) = Datapath::load().unwrap();
            datapath.attach_guard(&types, Some(&self.folder()), tracepoints, hooks)
        }
    }

    impl Drop for Pins {
        fn drop(&mut self) {
            umount2(self.0.path(), MntFlags::MNT_DETACH).ok();
        }
    }

    /// Every program of a part is there, or none, whatever an earlier agent had.
    #[test]
    fn a_part_of_which_the_kernel_refuses_one_program_is_not_there() {
        const NOWHERE: Hook = ("weir_free", "no_such_tracepoint");
        let all = ["weir_cgroup_mkdir", "weir_cgroup_rmdir", "weir_exec", "weir_exit"];
        let pins = Pins::new();

        let guard = pins.attach(&TRACEPOINTS, &[BIRTHS[0], NOWHERE]);
        assert!(guard.has_processes());
        let refused = guard.modules.as_ref().unwrap_err();
        assert!(matches!(refused, GuardError::Refused { program: "weir_free", .. }), "{refused}");
        assert_eq!(pins.names(), all);

        let guard = pins.attach(&[&TRACEPOINTS[..2], &[NOWHERE], &TRACEPOINTS[2..]].concat(), &[]);
        let refused = guard.processes.as_ref().unwrap_err();
        assert!(matches!(refused, GuardError::Refused { program: "weir_free", .. }), "{refused}");
        assert!(matches!(guard.modules, Err(GuardError::Unfounded)));
        assert_eq!(pins.names(), [""; 0]);
    }

    #[test]
    fn births_are_seen_where_nothing_preempts() {
        for (kernel, programs) in [
            (KernelVersion::new(5, 10, 251), &["weir_fork"][..]),
            (KernelVersion::new(6, 18, 44), &["weir_fork"]),
            (KernelVersion::new(6, 19, 255), &["weir_fork"]),
            (KernelVersion::new(7, 0, 0), &["weir_free", "weir_wakeup_new"]),
        ] {
            let names: Vec<_> = births(kernel).iter().map(|hook| hook.0).collect();
            assert_eq!(names, programs, "{kernel:?}");
        }
    }

    #[test]
    fn pins_of_others_are_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["weir_exit", "weir_exit-next", "weir_of_an_earlier_agent", "weir_bpf"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        keep_only(folder.path(), &[&TRACEPOINTS[2], &HOOKS[4]]);
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, ["weir_bpf", "weir_exit"]);
    }
}
