//! Attaches the hooks to a cgroup, and tells each which slot it serves.

use std::{
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use aya::{
    Ebpf,
    maps::cgroup_storage::CgroupStorageKey,
    programs::{
        CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, CgroupSockAddr, Program,
        ProgramError,
        links::{FdLink, PinnedLink},
    },
};
use aya_obj::generated::bpf_attach_type;

use super::{error::DatapathError, object::Datapath, syscall};

/// One program and where it is attached.
#[derive(Debug)]
pub(super) struct Hook {
    program: &'static str,
    kind: Kind,
    attach_type: bpf_attach_type,
}

#[derive(Debug)]
enum Kind {
    Skb(CgroupSkbAttachType),
    Sock,
    SockAddr,
}

const fn hook(program: &'static str, kind: Kind, attach_type: bpf_attach_type) -> Hook {
    Hook { program, kind, attach_type }
}

/// Every hook, in the order of attachment: the last word first, so that nothing is ever judged by the
/// early hooks alone.
pub(super) static HOOKS: [Hook; 12] = [
    hook(
        "weir_egress",
        Kind::Skb(CgroupSkbAttachType::Egress),
        bpf_attach_type::BPF_CGROUP_INET_EGRESS,
    ),
    hook(
        "weir_ingress",
        Kind::Skb(CgroupSkbAttachType::Ingress),
        bpf_attach_type::BPF_CGROUP_INET_INGRESS,
    ),
    hook("weir_sock_create", Kind::Sock, bpf_attach_type::BPF_CGROUP_INET_SOCK_CREATE),
    hook("weir_sock_release", Kind::Sock, bpf_attach_type::BPF_CGROUP_INET_SOCK_RELEASE),
    hook("weir_connect4", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_INET4_CONNECT),
    hook("weir_connect6", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_INET6_CONNECT),
    hook("weir_sendmsg4", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_UDP4_SENDMSG),
    hook("weir_sendmsg6", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_UDP6_SENDMSG),
    hook("weir_recvmsg4", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_UDP4_RECVMSG),
    hook("weir_recvmsg6", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_UDP6_RECVMSG),
    hook("weir_getpeername4", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_INET4_GETPEERNAME),
    hook("weir_getpeername6", Kind::SockAddr, bpf_attach_type::BPF_CGROUP_INET6_GETPEERNAME),
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

    /// The link that is pinned already, with this agent's program in it.
    fn take_over(
        &self,
        programs: &Ebpf,
        pins: Option<&Path>,
    ) -> Result<Option<PinnedLink>, HookError> {
        let Some(path) = pins.map(|folder| folder.join(self.program)) else { return Ok(None) };
        if !path.exists() {
            return Ok(None);
        }
        let link = syscall::open_pin(&path).map_err(HookError::Replace)?;
        let program = programs.program(self.program).ok_or(HookError::Missing)?.fd()?;
        syscall::update_link(link.as_fd(), program.as_fd()).map_err(HookError::Replace)?;
        Ok(Some(PinnedLink::from_pin(&path)?))
    }

    /// The link is the caller's: dropped, the hook is gone.
    fn attach(&self, programs: &mut Ebpf, cgroup: &File) -> Result<FdLink, HookError> {
        let program = programs.program_mut(self.program).ok_or(HookError::Missing)?;
        // Links of cgroups always let others attach too; the kernel takes no flag that says so.
        let mode = CgroupAttachMode::Single;
        let cgroup = cgroup.as_fd();
        match (program, &self.kind) {
            (Program::CgroupSkb(program), Kind::Skb(direction)) => {
                let id = CgroupSkb::attach(program, cgroup, *direction, mode)?;
                Ok(program.take_link(id)?.try_into()?)
            }
            (Program::CgroupSock(program), Kind::Sock) => {
                let id = CgroupSock::attach(program, cgroup, mode)?;
                Ok(program.take_link(id)?.try_into()?)
            }
            (Program::CgroupSockAddr(program), Kind::SockAddr) => {
                let id = CgroupSockAddr::attach(program, cgroup, mode)?;
                Ok(program.take_link(id)?.try_into()?)
            }
            _ => Err(HookError::Missing),
        }
    }
}

/// Why one hook was not attached.
#[derive(Debug, thiserror::Error)]
enum HookError {
    /// The object does not hold the program.
    #[error("the kernel object has no such program")]
    Missing,
    /// The kernel refused.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A link that was there could not be given the program.
    #[error("replacing the program of the pinned link")]
    Replace(#[source] std::io::Error),
    /// The kernel is too old for links.
    #[error(transparent)]
    Link(#[from] aya::programs::links::LinkError),
}

/// The links of one cgroup. Pinned, they outlive this process; unpinned, they end with it.
#[derive(Debug)]
pub struct Attachment {
    links: Vec<Held>,
}

#[derive(Debug)]
enum Held {
    Pinned(PinnedLink),
    Unpinned(#[expect(dead_code, reason = "held for its drop, which detaches")] FdLink),
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

        let mut programs = lock(&self.programs);
        let mut attachment = Attachment { links: Vec::with_capacity(HOOKS.len()) };
        for hook in &HOOKS {
            let failed = |source: HookError| DatapathError::Attach {
                hook: hook.program,
                cgroup: cgroup.to_owned(),
                source: Box::new(source),
            };
            if let Some(link) = hook.take_over(&programs, pins).map_err(failed)? {
                attachment.links.push(Held::Pinned(link));
                continue;
            }
            let link = hook.attach(&mut programs, &directory).map_err(failed)?;
            attachment.hold(link, hook, pins)?;
        }
        drop(programs);
        self.hold_slot(slot)?;
        let mut tables = lock(&self.tables);
        tables
            .cgroups
            .set(slot, inode, 0)
            .map_err(DatapathError::map("writing down a pod's cgroup"))?;
        for hook in &HOOKS {
            // The kernel makes the storage when the program is attached, one for each attach type.
            let key = CgroupStorageKey::new(inode, hook.attach_type as u32);
            tables
                .slots
                .insert(key, slot, 0)
                .map_err(DatapathError::map("telling a hook its slot"))?;
        }
        Ok(attachment)
    }

    /// Points the hooks of a cgroup at no slot: what still runs in it is refused everything. The kernel keeps
    /// what a hook was told for as long as the cgroup lives, and a pod's next sandbox has the same one.
    pub fn forget(&self, cgroup: &Path) {
        // Without a cgroup there is nobody left to be told anything.
        let Ok(metadata) = fs::metadata(cgroup) else { return };
        let mut tables = lock(&self.tables);
        for hook in &HOOKS {
            let key = CgroupStorageKey::new(metadata.ino(), hook.attach_type as u32);
            // A hook that was never attached there has nothing to forget.
            tables.slots.insert(key, 0, 0).ok();
        }
    }

    /// The slot that the hooks of a cgroup serve, where an earlier agent attached them.
    #[must_use]
    pub fn slot_of(&self, cgroup: &Path) -> Option<u32> {
        let inode = fs::metadata(cgroup).ok()?.ino();
        let key = CgroupStorageKey::new(inode, bpf_attach_type::BPF_CGROUP_INET_EGRESS as u32);
        lock(&self.tables).slots.get(key, 0).ok().filter(|slot| *slot != 0)
    }
}

impl Attachment {
    fn hold(
        &mut self,
        link: FdLink,
        hook: &Hook,
        pins: Option<&Path>,
    ) -> Result<(), DatapathError> {
        let Some(folder) = pins else {
            self.links.push(Held::Unpinned(link));
            return Ok(());
        };
        let path: PathBuf = folder.join(hook.program);
        let pinned = link
            .pin(&path)
            .map_err(|source| DatapathError::Pin { path, source: Box::new(source) })?;
        self.links.push(Held::Pinned(pinned));
        Ok(())
    }

    /// Removes the pins and detaches.
    ///
    /// # Errors
    ///
    /// The first pin that could not be removed; the others are removed all the same.
    pub fn detach(self) -> std::io::Result<()> {
        let mut result = Ok(());
        for link in self.links {
            if let Held::Pinned(link) = link
                && let Err(error) = link.unpin()
                && result.is_ok()
            {
                result = Err(error);
            }
        }
        result
    }
}

pub(super) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic while the lock was held leaves handles to kernel objects, which are whole at any time.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
