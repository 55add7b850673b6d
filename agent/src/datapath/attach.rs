//! Attaches the hooks to a cgroup, and tells each which slot it serves.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};
use aya_obj::generated::bpf_attach_type;

use super::{error::DatapathError, object::Datapath, pinned::PinFolder, syscall};

/// One program and where it is attached.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) program: &'static str,
    pub(super) attach_type: bpf_attach_type,
}

const fn hook(program: &'static str, attach_type: bpf_attach_type) -> Hook {
    Hook { program, attach_type }
}

/// Every hook, in the order of attachment: the last word first, so that nothing is ever judged by the
/// early hooks alone.
pub(super) static HOOKS: [Hook; 12] = [
    hook("weir_egress", bpf_attach_type::BPF_CGROUP_INET_EGRESS),
    hook("weir_ingress", bpf_attach_type::BPF_CGROUP_INET_INGRESS),
    hook("weir_sock_create", bpf_attach_type::BPF_CGROUP_INET_SOCK_CREATE),
    hook("weir_sock_release", bpf_attach_type::BPF_CGROUP_INET_SOCK_RELEASE),
    hook("weir_connect4", bpf_attach_type::BPF_CGROUP_INET4_CONNECT),
    hook("weir_connect6", bpf_attach_type::BPF_CGROUP_INET6_CONNECT),
    hook("weir_sendmsg4", bpf_attach_type::BPF_CGROUP_UDP4_SENDMSG),
    hook("weir_sendmsg6", bpf_attach_type::BPF_CGROUP_UDP6_SENDMSG),
    hook("weir_recvmsg4", bpf_attach_type::BPF_CGROUP_UDP4_RECVMSG),
    hook("weir_recvmsg6", bpf_attach_type::BPF_CGROUP_UDP6_RECVMSG),
    hook("weir_getpeername4", bpf_attach_type::BPF_CGROUP_INET4_GETPEERNAME),
    hook("weir_getpeername6", bpf_attach_type::BPF_CGROUP_INET6_GETPEERNAME),
];

impl Hook {
    pub(super) fn load(&self, programs: &mut Ebpf) -> Result<(), DatapathError> {
        let program =
            programs.program_mut(self.program).ok_or(DatapathError::Missing(self.program))?;
        let loaded = match program {
            Program::CgroupSkb(program) => program.load(),
            Program::CgroupSock(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            _ => return Err(DatapathError::Missing(self.program)),
        };
        loaded.map_err(DatapathError::program(self.program))
    }

    /// The identifier of the program, once it is loaded.
    pub(super) fn id(&self, programs: &Ebpf) -> Result<u32, DatapathError> {
        let program = programs.program(self.program).ok_or(DatapathError::Missing(self.program))?;
        let failed =
            |source| DatapathError::Program { program: self.program, source: Box::new(source) };
        Ok(program.info().map_err(failed)?.id())
    }

    /// The link that is pinned already, with this agent's program in it.
    fn take_over(
        &self,
        programs: &Ebpf,
        pins: Option<&Path>,
    ) -> Result<Option<OwnedFd>, HookError> {
        let Some(path) = pins.map(|folder| folder.join(self.program)) else { return Ok(None) };
        if !path.exists() {
            return Ok(None);
        }
        let link = syscall::open_pin(&path).map_err(HookError::Replace)?;
        match syscall::update_link(link.as_fd(), self.loaded(programs)?) {
            Ok(()) => Ok(Some(link)),
            // Somebody has detached it while no agent ran.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {
                fs::remove_file(&path).map_err(HookError::Replace)?;
                Ok(None)
            }
            Err(error) => Err(HookError::Replace(error)),
        }
    }

    /// Puts this agent's program into a link again.
    pub(super) fn update(&self, programs: &Ebpf, link: BorrowedFd<'_>) -> Result<(), HookError> {
        syscall::update_link(link, self.loaded(programs)?).map_err(HookError::Replace)
    }

    /// The link is the caller's: closed and not pinned, the hook is gone. Links of cgroups always let others attach
    /// too.
    pub(super) fn attach(&self, programs: &Ebpf, cgroup: &File) -> Result<OwnedFd, HookError> {
        let program = self.loaded(programs)?;
        syscall::link_to_cgroup(program, cgroup.as_fd(), self.attach_type)
            .map_err(HookError::Attach)
    }

    fn loaded<'p>(&self, programs: &'p Ebpf) -> Result<BorrowedFd<'p>, HookError> {
        let program = programs.program(self.program).ok_or(HookError::Missing)?;
        Ok(program.fd()?.as_fd())
    }
}

/// Why one hook was not attached.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// The object does not hold the program.
    #[error("the kernel object has no such program")]
    Missing,
    /// The program is not loaded.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The kernel refused.
    #[error("making the link")]
    Attach(#[source] io::Error),
    /// A link that was there could not be given the program.
    #[error("replacing the program of the pinned link")]
    Replace(#[source] io::Error),
}

/// The links of one cgroup. Pinned, they outlive this process; unpinned, they end with it.
#[derive(Debug)]
pub struct Attachment {
    pub(super) cgroup: PathBuf,
    pub(super) inode: u64,
    pub(super) slot: u32,
    /// In the order of [`HOOKS`].
    pub(super) links: Vec<OwnedFd>,
    pub(super) pins: Option<PinFolder>,
}

impl Datapath {
    /// Attaches every hook to a cgroup and points it at the slot. Until the slot's state is ready, the
    /// cgroup is closed. With a folder on bpffs the links are pinned there; those that are pinned there
    /// already are taken over, each with the program of this agent put in the old one's place between two
    /// packets.
    ///
    /// # Errors
    ///
    /// Names the hook and the cgroup; what had been attached is detached again.
    pub fn attach(
        &self,
        cgroup: &Path,
        slot: u32,
        pins: Option<&Path>,
    ) -> Result<Attachment, DatapathError> {
        let unreadable = |source| DatapathError::Cgroup { path: cgroup.to_owned(), source };
        let directory = File::open(cgroup).map_err(unreadable)?;
        let inode = directory.metadata().map_err(unreadable)?.ino();

        let programs = lock(&self.programs);
        let mut links = Vec::with_capacity(HOOKS.len());
        for hook in &HOOKS {
            let failed = |source: HookError| DatapathError::Attach {
                hook: hook.program,
                cgroup: cgroup.to_owned(),
                source: Box::new(source),
            };
            if let Some(link) = hook.take_over(&programs, pins).map_err(failed)? {
                links.push(link);
                continue;
            }
            let link = hook.attach(&programs, &directory).map_err(failed)?;
            if let Some(path) = pins.map(|folder| folder.join(hook.program)) {
                syscall::pin(link.as_fd(), &path)
                    .map_err(|source| DatapathError::Pin { path, source: Box::new(source) })?;
            }
            links.push(link);
        }
        drop(programs);
        self.hold_slot(slot)?;
        let mut tables = lock(&self.tables);
        tables.set_cgroup(slot, inode)?;
        tables.members.enter(cgroup, slot)?;
        tables.slots.set(inode, slot)?;
        let (cgroup, pins) = (cgroup.to_owned(), pins.map(PinFolder::new));
        Ok(Attachment { cgroup, inode, slot, links, pins })
    }

    /// Points the hooks of a cgroup at no slot: what still runs in it is refused everything. The kernel keeps
    /// what a hook was told for as long as the cgroup lives, and a pod's next sandbox has the same one.
    pub fn forget(&self, cgroup: &Path) {
        // Without a cgroup there is nobody left to be told anything.
        let Ok(metadata) = fs::metadata(cgroup) else { return };
        // Hooks that were never attached there have nothing to forget.
        lock(&self.tables).slots.set(metadata.ino(), 0).ok();
    }

    /// The slot that the hooks of a cgroup serve, where an earlier agent attached them.
    #[must_use]
    pub fn slot_of(&self, cgroup: &Path) -> Option<u32> {
        let inode = fs::metadata(cgroup).ok()?.ino();
        lock(&self.tables).slots.get(inode).ok().flatten().filter(|slot| *slot != 0)
    }
}

impl Attachment {
    /// Removes the pins and detaches.
    ///
    /// # Errors
    ///
    /// The first pin that could not be removed; the others are removed all the same.
    pub fn detach(self) -> io::Result<()> {
        let mut result = Ok(());
        let folder = self.pins.as_ref().map(PinFolder::path);
        for path in HOOKS.iter().filter_map(|hook| Some(folder?.join(hook.program))) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound && result.is_ok() => {
                    result = Err(error);
                }
                _ => {}
            }
        }
        result
    }
}

pub(super) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic while the lock was held leaves handles to kernel objects, which are whole at any time.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
