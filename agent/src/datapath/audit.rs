//! What holds the pods in the kernel, looked at and put right.
//!
//! Without BPF LSM nothing keeps a privileged job from the system call bpf(2), by which it can get hold of every link
//! and map by its number. So the agent holds what is there against what it has put there.
//!
//! Invariant: what is compared is read under the lock that its writer holds, so that the agent's own changes never
//! look like somebody else's.

mod shared;

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
};

use aya::maps::{IterableMap as _, MapError, lpm_trie};
use weir_ebpf::{
    address::Endpoint,
    pod::{AllowEntry, Network, NetworkKey, TABLES},
};

use super::{
    attach::{Attachment, HOOKS, lock},
    batch::Entries,
    error::DatapathError,
    kernel::Kernel,
    object::Datapath,
    outer::PodMaps,
    slot::{Slot, slot_bank},
    wire::{Mended, WireAttachment},
};
use crate::{events::record::Repaired, netns::filter::Filters};

/// Something that was not as the agent had left it.
#[derive(Debug)]
pub struct Found {
    /// Whose it is.
    pub slot: u32,
    /// What it is.
    pub what: Repaired,
    /// How many of the kind, or why they are still wrong.
    pub outcome: Result<u64, DatapathError>,
}

/// Room for what is read of the kernel's tables, kept from one look to the next.
#[derive(Default)]
pub struct Scratch {
    networks: Entries<lpm_trie::Key<Kernel<NetworkKey>>, Kernel<Network>>,
    wires: Entries<u32, u32>,
    allow: Entries<Kernel<Endpoint>, Kernel<AllowEntry>>,
    /// The pods' own tables that were in their places at the last look, by slot; none where that is not known.
    placed: Vec<[u32; TABLES]>,
    /// The policy that each slot had at the last look.
    generations: HashMap<u32, u32>,
}

impl Datapath {
    /// Holds the tables that all pods share against what was written there.
    pub fn audit_tables(&self, scratch: &mut Scratch) -> Vec<Found> {
        let mut found = Vec::new();
        let mut tables = lock(&self.tables);
        tables.audit_states(&mut found);
        tables.audit_cgroups(&mut found);
        tables.audit_wires(scratch, &mut found);
        tables.audit_networks(scratch, &mut found);
        let slots = tables.taken.iter().rposition(|taken| *taken).map_or(0, |last| last + 1);
        // A pod that starts waits for this lock, and needs not wait for what comes now.
        drop(tables);
        self.look_at_places(slots, scratch);
        found
    }

    /// Notes which tables the first `slots` slots have. It is asked first, because one look tells of all pods; that
    /// something is wrong is for [`Datapath::audit_slot`] to say.
    fn look_at_places(&self, slots: usize, scratch: &mut Scratch) {
        let placed = &mut scratch.placed;
        placed.clear();
        placed.resize(slots, [0; TABLES]);
        let told = self.places().map(|places| places.read(0, placed));
        if !matches!(told, Some(Ok(()))) {
            placed.clear();
        }
    }

    /// Holds the hooks of one pod's cgroup against what was attached there. Where the cgroup is gone nothing is wrong.
    pub fn audit_hooks(&self, attachment: &mut Attachment, found: &mut Vec<Found>) {
        let slot = attachment.slot;
        let mut note = |what, outcome: Result<u64, DatapathError>| {
            if !matches!(outcome, Ok(0)) {
                found.push(Found { slot, what, outcome });
            }
        };
        let mut hooks = 0;
        for index in 0..attachment.links.len() {
            match self.audit_hook(attachment, index) {
                Ok(Link::Right) => {}
                Ok(Link::Repaired) => hooks += 1,
                Ok(Link::Over) => return,
                Err(error) => note(Repaired::Hook, Err(error)),
            }
        }
        note(Repaired::Hook, Ok(hooks));
        note(Repaired::Slot, self.audit_storage(attachment));
        note(Repaired::Pin, attachment.audit_pins());
    }

    fn audit_hook(&self, attachment: &mut Attachment, index: usize) -> Result<Link, DatapathError> {
        let Attachment { cgroup, inode, links, pins, .. } = attachment;
        let (Some(hook), Some(link), Some(&program)) =
            (HOOKS.get(index), links.get_mut(index), self.ids.hooks.get(index))
        else {
            return Ok(Link::Right);
        };
        let inode = *inode;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| DatapathError::Attach {
            hook: hook.program,
            cgroup: cgroup.clone(),
            source,
        };
        let info = super::syscall::link_info(link.as_fd()).map_err(|error| failed(error.into()))?;
        if info.cgroup() == inode && info.program == program {
            return Ok(Link::Right);
        }
        let programs = lock(&self.programs);
        if info.cgroup() == inode {
            hook.update(&programs, link.as_fd()).map_err(|error| failed(error.into()))?;
            return Ok(Link::Repaired);
        }
        // Detached: by somebody, or with the end of the cgroup.
        let Ok(folder) = File::open(&*cgroup) else { return Ok(Link::Over) };
        if folder.metadata().is_ok_and(|metadata| metadata.ino() != inode) {
            return Ok(Link::Over);
        }
        *link = hook.attach(&programs, &folder).map_err(|error| failed(error.into()))?;
        if let Some(pins) = pins {
            // If this fails, the look at the pins tries it again and tells.
            pins.replace(hook.program, link.as_fd()).ok();
        }
        Ok(Link::Repaired)
    }

    /// What the hooks were told of their slot.
    fn audit_storage(&self, attachment: &Attachment) -> Result<u64, DatapathError> {
        let slots = &mut lock(&self.tables).slots;
        if slots.get(attachment.inode).is_ok_and(|slot| slot == Some(attachment.slot)) {
            return Ok(0);
        }
        match slots.set(attachment.inode, attachment.slot) {
            // Gone with the cgroup.
            Err(_) if fs::metadata(&attachment.cgroup).is_err() => Ok(0),
            outcome => outcome.map(|()| 1),
        }
    }

    /// Looks whether a pod's own tables are in their places.
    pub fn audit_slot(&self, slot: &Slot, scratch: &Scratch, found: &mut Vec<Found>) {
        if scratch.placed.get(slot.number() as usize) == Some(&slot.ids) {
            return;
        }
        let [allow, flows, processes, clients, wire_flows] = slot.ids;
        let maps = &self.pod_maps;
        let exchanged = [
            (!has(&maps.allow, slot, allow)).then(|| slot.place_allow(&maps.allow)),
            (!has(&maps.flows, slot, flows)).then(|| maps.flows.place(slot.number(), &slot.flows)),
            (!has(&maps.processes, slot, processes))
                .then(|| maps.processes.place(slot.number(), &slot.processes)),
            (!has(&maps.clients, slot, clients))
                .then(|| maps.clients.place(slot.number(), &slot.clients)),
            (!has(&maps.wire_flows, slot, wire_flows))
                .then(|| maps.wire_flows.place(slot.number(), &slot.wire_flows)),
        ];
        for outcome in exchanged.into_iter().flatten() {
            let (slot, outcome) = (slot.number(), outcome.map(|()| 1));
            found.push(Found { slot, what: Repaired::Table, outcome });
        }
    }

    /// Takes away the networks of the policy before, once no program can be under way that began with them. There is
    /// nothing to be looked at then, and nothing to be tampered with.
    pub fn retire_networks(&self, slot: &Slot, scratch: &mut Scratch) {
        // Held to the end, so that nobody writes the next policy's meanwhile.
        let staged = lock(&slot.staged);
        let mut tables = lock(&self.tables);
        let state = tables.state(slot.number());
        let before = scratch.generations.insert(slot.number(), state.generation);
        if before == Some(state.generation) && state.bank == *staged {
            tables.clear_bank(slot_bank(slot.number(), state.bank ^ 1));
        }
    }

    /// Holds the second layer of one pod against what was attached.
    pub fn audit_wires(
        &self,
        slot: u32,
        wires: &mut [WireAttachment],
        filters: &mut Filters,
        found: &mut Vec<Found>,
    ) {
        for wire in wires {
            let device = wire.device();
            match self.mend_wire(wire, filters) {
                Ok(Mended { program, pin }) => {
                    let path = PathBuf::from(device.to_string());
                    let pin =
                        pin.map_err(|source| DatapathError::Pin { path, source: source.into() });
                    let kinds = [(Repaired::Wire, Ok(program)), (Repaired::Pin, pin)];
                    let wrong = kinds.into_iter().filter(|(_, outcome)| !matches!(outcome, Ok(0)));
                    found.extend(wrong.map(|(what, outcome)| Found { slot, what, outcome }));
                }
                Err(source) => {
                    let outcome = Err(DatapathError::Wire { device, source });
                    found.push(Found { slot, what: Repaired::Wire, outcome });
                }
            }
        }
    }
}

/// How it is with a hook.
enum Link {
    Right,
    Repaired,
    /// Its cgroup is gone.
    Over,
}

/// Whether a slot has this table. One that cannot be read is told of when it is written.
fn has<K, V>(maps: &PodMaps<K, V>, slot: &Slot, id: u32) -> bool
where
    Kernel<K>: aya::Pod,
    Kernel<V>: aya::Pod,
{
    maps.id_of(slot.number()).is_ok_and(|there| there == Some(id))
}

impl Attachment {
    fn audit_pins(&mut self) -> Result<u64, DatapathError> {
        let Some(pins) = &mut self.pins else { return Ok(0) };
        let links: Vec<(&str, BorrowedFd<'_>)> = HOOKS
            .iter()
            .zip(&self.links)
            .map(|(hook, link)| (hook.program, link.as_fd()))
            .collect();
        let path = pins.path().to_owned();
        pins.keep(&links).map_err(|error| DatapathError::Pin { path, source: error.into() })
    }
}

impl Slot {
    fn place_allow(&self, maps: &PodMaps<Endpoint, AllowEntry>) -> Result<(), DatapathError> {
        maps.place(self.number(), &lock(&self.allow))
    }

    /// Holds the allow entries in the kernel against `expected`, whose caller keeps others from writing meanwhile: those
    /// that are more than it says are taken away or cut. How many there were.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn audit_allowed(
        &self,
        scratch: &mut Scratch,
        limit: usize,
        expected: impl Fn(&Endpoint) -> Option<AllowEntry>,
    ) -> Result<u64, DatapathError> {
        let (mut foreign, mut cut) = (Vec::new(), Vec::new());
        {
            let map = lock(&self.allow);
            let entries = scratch
                .allow
                .read(map.map().fd().as_fd(), limit)
                .map_err(unread("reading a pod's allow entries"))?;
            for (Kernel(endpoint), Kernel(entry)) in entries {
                match expected(endpoint) {
                    None => foreign.push(*endpoint),
                    Some(own) if !is_within(*entry, own) => cut.push((*endpoint, own)),
                    Some(_) => {}
                }
            }
        }
        let count = foreign.len() + cut.len();
        self.revoke(foreign)?;
        self.allow(cut)?;
        Ok(count as u64)
    }
}

/// Whether an entry allows no more than another. Moments are told from each other by a tick (268 ms), and reckoned
/// anew for each look.
const fn is_within(entry: AllowEntry, own: AllowEntry) -> bool {
    entry.rule == own.rule && entry.expires <= own.expires.saturating_add(1)
}

fn unread(action: &'static str) -> impl FnOnce(io::Error) -> DatapathError {
    move |error| DatapathError::map(action)(MapError::IoError(error))
}

#[cfg(test)]
mod tests;
