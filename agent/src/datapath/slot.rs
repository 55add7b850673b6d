//! One pod's place in the kernel tables, and its own maps.

use std::{collections::HashSet, io, net::IpAddr, os::fd::AsFd as _, sync::Mutex, thread};

use aya::maps::{IterableMap as _, Map, MapError};
use ipnet::IpNet;
use weir_ebpf::{
    address::{Address, Endpoint},
    flow::{Client, Flow, FlowKey, WireFlow, WireKey},
    pod::{AllowEntry, Network, NetworkKey, PodCounters, PodState, TABLES, flags},
    process::{Process, ProcessKey},
};

use super::{
    attach::lock,
    error::DatapathError,
    kernel::Kernel,
    locked_memory,
    maps::{hash, lru_hash, without_eviction},
    object::Datapath,
    outer::{PodMap, id, opened, pod_map},
    syscall,
};

pub use super::maps::PodLimits;

/// A pod's slot: closed until [`Datapath::set_state`] says ready.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    pub(super) allow: Mutex<PodMap<Endpoint, AllowEntry>>,
    pub(super) flows: PodMap<FlowKey, Flow>,
    pub(super) processes: PodMap<ProcessKey, Process>,
    pub(super) clients: PodMap<Endpoint, Client>,
    pub(super) wire_flows: PodMap<WireKey, WireFlow>,
    /// The kernel's identifiers of these tables, in the order of [`TABLES`].
    pub(super) ids: [u32; TABLES],
    /// Which bank of networks was written last; not in force where the state that names it was refused.
    pub(super) staged: Mutex<u32>,
}

/// A trusted network with the ports that the kernel is to know.
#[derive(Clone, Debug)]
pub struct NetworkEntry {
    /// The network; IPv4 is written in its v4-mapped form.
    pub net: IpNet,
    /// What one longest-prefix match is to tell.
    pub network: Network,
}

impl Datapath {
    /// Takes a free slot and gives it maps of its own. Slow (the kernel waits for an RCU grace period
    /// for each map), so slots are prepared ahead.
    ///
    /// # Errors
    ///
    /// [`DatapathError::NoSlot`] when all are taken, or what the kernel said.
    pub fn prepare_slot(&self, limits: PodLimits) -> Result<Slot, DatapathError> {
        let number = self.reserve()?;
        self.fill_slot(number, limits)
            .inspect_err(|_failed| self.give_back(number))
            .map_err(locked_memory::explain)
    }

    fn fill_slot(&self, number: u32, limits: PodLimits) -> Result<Slot, DatapathError> {
        let allow: PodMap<Endpoint, AllowEntry> =
            pod_map(Map::HashMap(hash::<Endpoint, AllowEntry>("weir_allow", limits.entries)?))?;
        let flows: PodMap<FlowKey, Flow> =
            pod_map(Map::HashMap(hash::<FlowKey, Flow>("weir_flows", limits.flows)?))?;
        let processes: PodMap<ProcessKey, Process> =
            pod_map(Map::HashMap(hash::<ProcessKey, Process>(
                "weir_processes",
                limits.processes,
            )?))?;
        let clients: PodMap<Endpoint, Client> =
            pod_map(Map::LruHashMap(lru_hash::<Endpoint, Client>(
                "weir_clients",
                without_eviction(limits.clients)?,
            )?))?;
        let wire_flows: PodMap<WireKey, WireFlow> =
            pod_map(Map::LruHashMap(lru_hash::<WireKey, WireFlow>(
                "weir_wire_flows",
                limits.wire_flows,
            )?))?;

        // Only the programs write these, and a job that gets hold of them may not either.
        for map in [clients.map(), wire_flows.map()] {
            syscall::freeze(map.fd().as_fd()).map_err(|error| {
                DatapathError::map("closing a pod's map to others")(MapError::IoError(error))
            })?;
        }
        let maps = &self.pod_maps;
        // Grace periods side by side instead of one after the other.
        thread::scope(|scope| {
            let waiting = [
                scope.spawn(|| maps.allow.place(number, &allow)),
                scope.spawn(|| maps.flows.place(number, &flows)),
                scope.spawn(|| maps.processes.place(number, &processes)),
                scope.spawn(|| maps.clients.place(number, &clients)),
            ];
            let last = maps.wire_flows.place(number, &wire_flows);
            waiting.into_iter().map(joined).chain([last]).collect::<Result<(), _>>()
        })?;
        Slot::of(number, 0, allow, flows, processes, clients, wire_flows)
    }

    /// Opens the slot that an earlier agent left in use, with all that is in its tables.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn adopt_slot(&self, number: u32) -> Result<(Slot, PodState), DatapathError> {
        let state = lock(&self.tables).state(number);
        let [allow, flows, processes, clients, wire_flows] = self.tables_of(number)?;
        let slot = Slot::of(
            number,
            state.bank,
            opened(allow)?,
            opened(flows)?,
            opened(processes)?,
            opened(clients)?,
            opened(wire_flows)?,
        )?;
        Ok((slot, state))
    }

    /// Takes a number that nobody has, and clears what it had before.
    fn reserve(&self) -> Result<u32, DatapathError> {
        let mut tables = lock(&self.tables);
        let none = || DatapathError::NoSlot(self.slots.saturating_sub(1));
        let free = tables.taken.iter().take(self.slots).position(|taken| !taken);
        let index = free.ok_or_else(none)?;
        let number = u32::try_from(index).map_err(|_error| none())?;
        tables.set_state(number, PodState::default(), "clearing a pod's state")?;
        tables
            .counters
            .set(number, Kernel(PodCounters::default()), 0)
            .map_err(DatapathError::map("clearing a pod's counters"))?;
        tables
            .events_taken
            .set(number, 0, 0)
            .map_err(DatapathError::map("clearing a pod's share of the event ring"))?;
        if let Some(taken) = tables.taken.get_mut(index) {
            *taken = true;
        }
        Ok(number)
    }

    /// Says in the kernel that a slot is some pod's. Before anything there names the slot: an agent that comes
    /// after a kill takes a slot without a state for free.
    pub(super) fn hold_slot(&self, number: u32) -> Result<(), DatapathError> {
        let mut tables = lock(&self.tables);
        let state = tables.state(number);
        if state.flags != 0 {
            return Ok(());
        }
        let held = PodState { flags: flags::HELD, ..state };
        tables.set_state(number, held, "holding a slot for a pod")
    }

    /// Writes a pod's state. The generation is written last: a socket that is judged again meets the
    /// tables of the new policy.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn set_state(&self, slot: &Slot, state: &PodState) -> Result<(), DatapathError> {
        let mut tables = lock(&self.tables);
        let action = "writing a pod's state";
        let generation = tables.state(slot.number).generation;
        tables.set_state(slot.number, PodState { generation, ..*state }, action)?;
        tables.set_state(slot.number, *state, action)
    }

    /// Writes a pod's networks into the bank that is not in use and returns its number, which the next
    /// [`Self::set_state`] makes current.
    ///
    /// # Errors
    ///
    /// What the kernel said; the bank in use is untouched.
    pub fn stage_networks(
        &self,
        slot: &Slot,
        networks: &[NetworkEntry],
    ) -> Result<u32, DatapathError> {
        let mut staged = lock(&slot.staged);
        let mut tables = lock(&self.tables);
        let bank = tables.state(slot.number).bank ^ 1;
        tables.clear_bank(slot_bank(slot.number, bank));
        for NetworkEntry { net, network } in networks {
            let (prefix, address) = mapped(net);
            let key = NetworkKey::new(slot.number, bank, address);
            tables.set_network(NetworkKey::SLOT_BITS + prefix, key, *network)?;
        }
        *staged = bank;
        Ok(bank)
    }

    /// Writes down the node's addresses, once for all pods.
    ///
    /// # Errors
    ///
    /// What the kernel said; some of them may be missing then, and some that are none any more be there.
    pub fn set_node_addresses(&self, addresses: &[IpAddr]) -> Result<(), DatapathError> {
        const BITS: u32 = NetworkKey::SLOT_BITS + u128::BITS;
        let wanted: HashSet<NetworkKey> =
            addresses.iter().map(|ip| NetworkKey::of_node(address(*ip))).collect();
        let mut tables = lock(&self.tables);
        let known: HashSet<NetworkKey> = tables.bank(slot_bank(0, 0)).map(|(_, key)| key).collect();
        for key in known.difference(&wanted) {
            tables.remove_network(BITS, *key);
        }
        for key in wanted.difference(&known) {
            tables.set_network(BITS, *key, Network::default())?;
        }
        Ok(())
    }

    /// Closes the slot and gives it back. No hook may name it any more ([`Self::forget`]).
    pub fn release_slot(&self, slot: &Slot) {
        let mut tables = lock(&self.tables);
        tables.clear_bank(slot_bank(slot.number, 0));
        tables.clear_bank(slot_bank(slot.number, 1));
        drop(tables);
        self.give_back(slot.number);
    }

    /// The slots that are in use: asked right after loading, those that an earlier agent left.
    #[must_use]
    pub fn slots_in_use(&self) -> Vec<u32> {
        let tables = lock(&self.tables);
        let taken = (0_u32..).zip(&tables.taken).filter(|(number, taken)| **taken && *number != 0);
        taken.map(|(number, _)| number).collect()
    }

    /// Frees slots that an earlier agent left in use and nobody has adopted. No hook may name them any more.
    pub fn release_left(&self, numbers: &[u32]) {
        for &number in numbers {
            match self.adopt_slot(number) {
                Ok((slot, _)) => self.release_slot(&slot),
                // Killed while the slot was being prepared or given back: its maps are not all there.
                Err(_) => self.give_back(number),
            }
        }
    }

    fn give_back(&self, number: u32) {
        let mut tables = lock(&self.tables);
        let cleared = tables.set_state(number, PodState::default(), "clearing a pod's state");
        tables.remove_wires_of(number);
        tables.members.leave(number);
        tables.watched.forget(number);
        // No process is this slot's any more, wherever it went.
        let cleared = cleared.and_then(|()| tables.set_cgroup(number, 0));
        drop(tables);
        if let Err(error) = cleared {
            // Not given back: a slot whose state is not clear would start the next pod open.
            tracing::error!(slot = number, %error, "a pod's state could not be cleared");
            return;
        }
        if let Err(error) = self.remove_pod_maps(number) {
            tracing::warn!(slot = number, %error, "a pod's maps could not be removed");
        }
        if let Some(taken) = lock(&self.tables).taken.get_mut(number as usize) {
            *taken = false;
        }
    }

    fn remove_pod_maps(&self, number: u32) -> io::Result<()> {
        let maps = &self.pod_maps;
        thread::scope(|scope| {
            let waiting = [
                scope.spawn(|| maps.allow.remove(number)),
                scope.spawn(|| maps.flows.remove(number)),
                scope.spawn(|| maps.processes.remove(number)),
                scope.spawn(|| maps.clients.remove(number)),
            ];
            let last = maps.wire_flows.remove(number);
            let joined = waiting.into_iter().map(|handle| {
                handle.join().unwrap_or_else(|_panic| Err(io::Error::other("a thread panicked")))
            });
            joined.chain([last]).collect()
        })
    }
}

impl Slot {
    fn of(
        number: u32,
        bank: u32,
        allow: PodMap<Endpoint, AllowEntry>,
        flows: PodMap<FlowKey, Flow>,
        processes: PodMap<ProcessKey, Process>,
        clients: PodMap<Endpoint, Client>,
        wire_flows: PodMap<WireKey, WireFlow>,
    ) -> Result<Self, DatapathError> {
        let ids = [id(&allow)?, id(&flows)?, id(&processes)?, id(&clients)?, id(&wire_flows)?];
        let (allow, staged) = (Mutex::new(allow), Mutex::new(bank));
        Ok(Self { number, allow, flows, processes, clients, wire_flows, ids, staged })
    }

    /// The number by which the programs know the pod.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Allows endpoints until their end of life. On return every one is in the map.
    ///
    /// # Errors
    ///
    /// What the kernel said; the caller must not answer.
    pub fn allow(
        &self,
        entries: impl IntoIterator<Item = (Endpoint, AllowEntry)>,
    ) -> Result<(), DatapathError> {
        let mut map = lock(&self.allow);
        for (endpoint, entry) in entries {
            map.insert(Kernel(endpoint), Kernel(entry), 0)
                .map_err(DatapathError::map("writing an allow entry"))?;
        }
        Ok(())
    }

    /// Takes endpoints back; one that is already gone is fine.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn revoke(
        &self,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Result<(), DatapathError> {
        let mut map = lock(&self.allow);
        for endpoint in endpoints {
            match map.remove(&Kernel(endpoint)) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(MapError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(DatapathError::map("removing an allow entry")(error)),
            }
        }
        Ok(())
    }

    /// All allow entries in the kernel.
    #[must_use]
    pub fn allowed(&self) -> Vec<(Endpoint, AllowEntry)> {
        let map = lock(&self.allow);
        map.iter().filter_map(Result::ok).map(|(key, entry)| (key.0, entry.0)).collect()
    }

    /// What was remembered of a process.
    #[must_use]
    pub fn process(&self, key: ProcessKey) -> Option<Process> {
        let process = self.processes.get(&Kernel(key), 0).ok()?.0;
        (process.ready == 1).then_some(process)
    }

    /// The processes that are remembered.
    #[must_use]
    pub fn process_keys(&self) -> Vec<ProcessKey> {
        self.processes.keys().filter_map(Result::ok).map(|key| key.0).collect()
    }

    /// Takes a process out of its table.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn forget_process(&self, key: ProcessKey) -> io::Result<bool> {
        syscall::delete(self.processes.map().fd().as_fd(), &Kernel(key))
    }

    /// Takes a flow out of its table, with what was counted up to then.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn take_flow(&self, key: FlowKey) -> io::Result<Option<Flow>> {
        let taken = syscall::take(self.flows.map().fd().as_fd(), &Kernel(key))?;
        Ok(taken.map(|flow: Kernel<Flow>| flow.0))
    }

    /// Who sent the last packet from this source to the listener.
    #[must_use]
    pub fn client(&self, source: Endpoint) -> Option<Client> {
        self.clients.get(&Kernel(source), 0).ok().map(|client| client.0)
    }

    /// All flows that were counted.
    #[must_use]
    pub fn flows(&self) -> Vec<(FlowKey, Flow)> {
        // An entry that is removed while the table is read is skipped.
        self.flows.iter().filter_map(Result::ok).map(|(key, flow)| (key.0, flow.0)).collect()
    }
}

/// The key of a bank in the table of networks.
pub(super) const fn slot_bank(slot: u32, bank: u32) -> u32 {
    NetworkKey::new(slot, bank, Address::from_v4_be(0)).slot_bank
}

/// The kernel's form of an address.
#[must_use]
pub fn address(ip: IpAddr) -> Address {
    Address::from(ip)
}

/// An address for people: v4-mapped ones as IPv4.
#[must_use]
pub fn ip(address: Address) -> IpAddr {
    IpAddr::from(address.octets()).to_canonical()
}

/// Prefix length among 128 bits, and address, of a network in the kernel's form.
fn mapped(net: &IpNet) -> (u32, Address) {
    let prefix = u32::from(net.prefix_len());
    match net {
        IpNet::V4(v4) => (prefix + 96, address(IpAddr::V4(v4.network()))),
        IpNet::V6(v6) => (prefix, address(IpAddr::V6(v6.network()))),
    }
}

fn joined(
    handle: thread::ScopedJoinHandle<'_, Result<(), DatapathError>>,
) -> Result<(), DatapathError> {
    handle.join().unwrap_or_else(|_panic| {
        Err(DatapathError::map("giving a pod its maps")(MapError::KeyNotFound))
    })
}
