//! The tables that all pods share, and what the agent has written into them.
//!
//! Invariant: under the lock of the tables, what is noted as written is what the kernel's tables hold, unless somebody
//! else has written there.

use std::collections::HashMap;

use aya::maps::{Array, HashMap as KernelHash, LpmTrie, MapData, lpm_trie};
use weir_ebpf::pod::{Network, NetworkKey, PodCounters, PodState};

use super::{
    cgroup_slots::CgroupSlots, error::DatapathError, kernel::Kernel, members::Members,
    watched::Watched,
};

/// Tables that are written when a pod comes, changes or goes.
pub(super) struct Tables {
    pub(super) pods: Array<MapData, Kernel<PodState>>,
    pub(super) cgroups: Array<MapData, u64>,
    pub(super) counters: Array<MapData, Kernel<PodCounters>>,
    pub(super) events_taken: Array<MapData, u64>,
    pub(super) networks: LpmTrie<MapData, Kernel<NetworkKey>, Kernel<Network>>,
    pub(super) slots: CgroupSlots,
    pub(super) wires: KernelHash<MapData, u32, u32>,
    pub(super) members: Members,
    /// How many processes are kept, by slot; at slot 0 those of all.
    pub(super) process_counts: Array<MapData, u64>,
    pub(super) watched: Watched,
    /// How often this process met a hook of a security module.
    pub(super) fired: Array<MapData, u64>,
    pub(super) written: Written,
    pub(super) taken: Vec<bool>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// The networks of one slot's bank: each by the bits of its prefix and its key.
pub(super) type Bank = HashMap<(u32, NetworkKey), Network>;

/// What the agent has written, and nobody else should.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// By slot.
    pub(super) pods: Vec<PodState>,
    /// By slot.
    pub(super) cgroups: Vec<u64>,
    /// The slot behind each device.
    pub(super) wires: HashMap<u32, u32>,
    /// By [`NetworkKey::slot_bank`].
    pub(super) networks: HashMap<u32, Bank>,
}

impl Tables {
    /// Notes as written what an earlier agent has left.
    pub(super) fn take_over(&mut self) -> Result<(), DatapathError> {
        let failed = || DatapathError::map("reading what an earlier agent has left");
        let mut written = Written::default();
        for slot in 0..self.pods.len() {
            written.pods.push(self.pods.get(&slot, 0).map_err(failed())?.0);
            written.cgroups.push(self.cgroups.get(&slot, 0).map_err(failed())?);
        }
        for entry in &self.wires {
            let (device, slot) = entry.map_err(failed())?;
            written.wires.insert(device, slot);
        }
        for entry in &self.networks {
            let (key, network) = entry.map_err(failed())?;
            let data = key.data().0;
            let bank = written.networks.entry(data.slot_bank).or_default();
            bank.insert((key.prefix_len(), data), network.0);
        }
        self.written = written;
        Ok(())
    }

    /// The state that a pod was given; that of nobody where there is no such slot.
    pub(super) fn state(&self, slot: u32) -> PodState {
        self.written.pods.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn set_state(
        &mut self,
        slot: u32,
        state: PodState,
        action: &'static str,
    ) -> Result<(), DatapathError> {
        self.pods.set(slot, Kernel(state), 0).map_err(DatapathError::map(action))?;
        if let Some(written) = self.written.pods.get_mut(slot as usize) {
            *written = state;
        }
        Ok(())
    }

    pub(super) fn set_cgroup(&mut self, slot: u32, inode: u64) -> Result<(), DatapathError> {
        let action = "writing down a pod's cgroup";
        self.cgroups.set(slot, inode, 0).map_err(DatapathError::map(action))?;
        if let Some(written) = self.written.cgroups.get_mut(slot as usize) {
            *written = inode;
        }
        Ok(())
    }

    pub(super) fn set_wire(&mut self, device: u32, slot: u32) -> Result<(), DatapathError> {
        let action = "telling the second layer its slot";
        self.wires.insert(device, slot, 0).map_err(DatapathError::map(action))?;
        self.written.wires.insert(device, slot);
        Ok(())
    }

    /// Forgets a device, whether the kernel still knows it or not.
    pub(super) fn remove_wire(&mut self, device: u32) {
        self.written.wires.remove(&device);
        if let Err(error) = self.wires.remove(&device) {
            tracing::debug!(device, %error, "the device was not in the kernel's table");
        }
    }

    /// Forgets the devices of a slot.
    pub(super) fn remove_wires_of(&mut self, slot: u32) {
        let devices = self.written.wires.iter().filter(|(_, owner)| **owner == slot);
        let devices: Vec<u32> = devices.map(|(device, _)| *device).collect();
        for device in devices {
            self.remove_wire(device);
        }
    }

    pub(super) fn set_network(
        &mut self,
        bits: u32,
        key: NetworkKey,
        network: Network,
    ) -> Result<(), DatapathError> {
        self.networks
            .insert(&lpm_trie::Key::new(bits, Kernel(key)), Kernel(network), 0)
            .map_err(DatapathError::map("writing a trusted network"))?;
        let bank = self.written.networks.entry(key.slot_bank).or_default();
        bank.insert((bits, key), network);
        Ok(())
    }

    /// The networks of a bank, each by the bits of its prefix and its key.
    pub(super) fn bank(&self, slot_bank: u32) -> impl Iterator<Item = (u32, NetworkKey)> {
        self.written.networks.get(&slot_bank).into_iter().flatten().map(|(entry, _)| *entry)
    }

    /// Empties a bank of networks.
    pub(super) fn clear_bank(&mut self, slot_bank: u32) {
        let all: Vec<_> = self.bank(slot_bank).collect();
        for (bits, key) in all {
            self.remove_network(bits, key);
        }
        self.written.networks.remove(&slot_bank);
    }

    /// Forgets a network, whether the kernel still knows it or not.
    pub(super) fn remove_network(&mut self, bits: u32, key: NetworkKey) {
        if let Some(bank) = self.written.networks.get_mut(&key.slot_bank) {
            bank.remove(&(bits, key));
        }
        if let Err(error) = self.networks.remove(&lpm_trie::Key::new(bits, Kernel(key))) {
            tracing::warn!(%error, "a trusted network could not be removed from the kernel");
        }
    }
}
