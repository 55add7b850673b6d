//! One pod's place in the kernel tables, and its own maps.

use std::{net::IpAddr, sync::Mutex, thread};

use aya::maps::{LpmTrie, MapData, lpm_trie};
use ipnet::IpNet;
use weir_ebpf::{
    address::{Address, Endpoint},
    flow::{Client, Flow, FlowKey},
    pod::{AllowEntry, Network, NetworkKey, PodCounters, PodState, SLOTS},
};

use super::{
    attach::lock,
    error::DatapathError,
    kernel::Kernel,
    maps::{as_lru, lru_hash},
    object::{AllowMap, ClientMap, Datapath, FlowMap},
};

pub use super::maps::PodLimits;

/// A pod's slot: closed until [`Datapath::set_state`] says ready.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    /// One thread inserts at a time: each CPU that inserts holds back nodes of the LRU.
    allow: Mutex<AllowMap>,
    flows: FlowMap,
    clients: ClientMap,
    networks: Mutex<Banks>,
}

/// The networks that each bank holds, as they were written.
#[derive(Debug, Default)]
struct Banks {
    current: u32,
    keys: [Vec<(u32, NetworkKey)>; 2],
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
        let allow: AllowMap =
            inner(lru_hash::<Endpoint, AllowEntry>("weir_allow", limits.entries)?)?;
        let flows: FlowMap = inner(lru_hash::<FlowKey, Flow>("weir_flows", limits.flows)?)?;
        let clients: ClientMap =
            inner(lru_hash::<Endpoint, Client>("weir_clients", limits.clients)?)?;

        let mut tables = lock(&self.tables);
        let free = tables.taken.iter().position(|taken| !taken);
        let index = free.ok_or(DatapathError::NoSlot(SLOTS - 1))?;
        let number = u32::try_from(index).map_err(|_error| DatapathError::NoSlot(SLOTS - 1))?;
        let tables = &mut *tables;
        tables
            .pods
            .set(number, Kernel(PodState::default()), 0)
            .map_err(DatapathError::map("clearing a pod's state"))?;
        tables
            .counters
            .set(number, Kernel(PodCounters::default()), 0)
            .map_err(DatapathError::map("clearing a pod's counters"))?;
        let (outer_allow, outer_flows, outer_clients) =
            (&mut tables.allow, &mut tables.flows, &mut tables.clients);
        // Three grace periods side by side instead of one after the other.
        thread::scope(|scope| {
            let allow = scope.spawn(|| outer_allow.set(number, &allow, 0));
            let flows = scope.spawn(|| outer_flows.set(number, &flows, 0));
            let clients = outer_clients.set(number, &clients, 0);
            [joined(allow), joined(flows), clients].into_iter().collect::<Result<(), _>>()
        })
        .map_err(DatapathError::map("giving a pod its maps"))?;
        if let Some(taken) = tables.taken.get_mut(index) {
            *taken = true;
        }
        Ok(Slot { number, allow: Mutex::new(allow), flows, clients, networks: Mutex::default() })
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
        let old = tables.pods.get(&slot.number, 0).map_err(DatapathError::map(action))?.0;
        let staged = PodState { generation: old.generation, ..*state };
        tables.pods.set(slot.number, Kernel(staged), 0).map_err(DatapathError::map(action))?;
        tables.pods.set(slot.number, Kernel(*state), 0).map_err(DatapathError::map(action))
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
        let mut banks = lock(&slot.networks);
        let bank = banks.current ^ 1;
        let mut tables = lock(&self.tables);
        banks.clear(bank, &mut tables.networks);
        for NetworkEntry { net, network } in networks {
            let (prefix, address) = mapped(net);
            let key = NetworkKey::new(slot.number, bank, address);
            let bits = NetworkKey::SLOT_BITS + prefix;
            tables
                .networks
                .insert(&lpm_trie::Key::new(bits, Kernel(key)), Kernel(*network), 0)
                .map_err(DatapathError::map("writing a trusted network"))?;
            banks.keys_mut(bank).push((bits, key));
        }
        banks.current = bank;
        Ok(bank)
    }

    /// Closes the slot and gives it back. The cgroup's links must be gone.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a slot that was given back is not to be used again"
    )]
    pub fn release_slot(&self, slot: Slot) {
        let mut tables = lock(&self.tables);
        let mut banks = lock(&slot.networks);
        banks.clear(0, &mut tables.networks);
        banks.clear(1, &mut tables.networks);
        let cleared = tables.pods.set(slot.number, Kernel(PodState::default()), 0);
        if let Err(error) = cleared {
            // Not given back: a slot whose state is not clear would start the next pod open.
            tracing::error!(slot = slot.number, %error, "a pod's state could not be cleared");
            return;
        }
        if let Some(taken) = tables.taken.get_mut(slot.number as usize) {
            *taken = false;
        }
    }

    /// The slow paths' counters of a pod.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn counters(&self, slot: &Slot) -> Result<PodCounters, DatapathError> {
        self.counters
            .get(&slot.number, 0)
            .map(|counters| counters.0)
            .map_err(DatapathError::map("reading a pod's counters"))
    }
}

impl Slot {
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
                Ok(()) | Err(aya::maps::MapError::KeyNotFound) => {}
                Err(aya::maps::MapError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(DatapathError::map("removing an allow entry")(error)),
            }
        }
        Ok(())
    }

    /// Whether the kernel still holds an entry for the endpoint.
    #[must_use]
    pub fn holds(&self, endpoint: Endpoint) -> bool {
        lock(&self.allow).get(&Kernel(endpoint), 0).is_ok()
    }

    /// Who sent the last packet from this source to the listener.
    #[must_use]
    pub fn client(&self, source: Endpoint) -> Option<Client> {
        self.clients.get(&Kernel(source), 0).ok().map(|client| client.0)
    }

    /// All flows that were counted.
    #[must_use]
    pub fn flows(&self) -> Vec<(FlowKey, Flow)> {
        // An entry that is evicted while the table is read is skipped.
        self.flows.iter().filter_map(Result::ok).map(|(key, flow)| (key.0, flow.0)).collect()
    }
}

impl Banks {
    fn keys_mut(&mut self, bank: u32) -> &mut Vec<(u32, NetworkKey)> {
        let [even, odd] = &mut self.keys;
        if bank == 0 { even } else { odd }
    }

    fn clear(
        &mut self,
        bank: u32,
        networks: &mut LpmTrie<MapData, Kernel<NetworkKey>, Kernel<Network>>,
    ) {
        for (bits, key) in self.keys_mut(bank).drain(..) {
            if let Err(error) = networks.remove(&lpm_trie::Key::new(bits, Kernel(key))) {
                tracing::warn!(%error, "a trusted network could not be removed from the kernel");
            }
        }
    }
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

fn inner<T>(data: MapData) -> Result<T, DatapathError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    T::try_from(as_lru(data)).map_err(DatapathError::map("opening a pod's map"))
}

type SetResult = Result<(), aya::maps::MapError>;

fn joined(handle: thread::ScopedJoinHandle<'_, SetResult>) -> SetResult {
    handle.join().unwrap_or(Err(aya::maps::MapError::KeyNotFound))
}
