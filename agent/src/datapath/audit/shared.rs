//! The tables that all pods share, held against what the agent has written there.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd as _;

use aya::maps::{IterableMap as _, MapError, lpm_trie};
use weir_ebpf::pod::{Network, NetworkKey, PodState, SLOTS};

use super::{Found, Scratch, unread};
use crate::{
    datapath::{batch, error::DatapathError, kernel::Kernel, tables::Tables},
    events::record::Repaired,
};

/// Most networks that the table of all pods can hold.
const NETWORKS: usize = 65_536;
/// Most devices that the second layer can know.
const WIRES: usize = 4096;

impl Tables {
    pub(super) fn audit_states(&mut self, found: &mut Vec<Found>) {
        let mut states = [Kernel(PodState::default()); SLOTS];
        let (what, action) = (Repaired::State, "looking at the pods' states");
        if let Err(error) = batch::read_array(self.pods.map().fd().as_fd(), &mut states) {
            found.push(Found { slot: 0, what, outcome: Err(unread(action)(error)) });
            return;
        }
        let pairs = (0_u32..).zip(states.iter().zip(&self.written.pods));
        for (slot, (there, written)) in pairs.filter(|(_, (there, written))| there.0 != **written) {
            tracing::debug!(slot, ?there, "a pod's state is another");
            let repaired = self.pods.set(slot, Kernel(*written), 0);
            let outcome = repaired.map(|()| 1).map_err(DatapathError::map(action));
            found.push(Found { slot, what, outcome });
        }
    }

    pub(super) fn audit_cgroups(&mut self, found: &mut Vec<Found>) {
        let mut ids = [0_u64; SLOTS];
        let (what, action) = (Repaired::Cgroup, "looking at the pods' cgroups");
        if let Err(error) = batch::read_array(self.cgroups.map().fd().as_fd(), &mut ids) {
            found.push(Found { slot: 0, what, outcome: Err(unread(action)(error)) });
            return;
        }
        let pairs = (0_u32..).zip(ids.iter().zip(&self.written.cgroups));
        for (slot, (_, written)) in pairs.filter(|(_, (there, written))| there != written) {
            let repaired = self.cgroups.set(slot, *written, 0);
            let outcome = repaired.map(|()| 1).map_err(DatapathError::map(action));
            found.push(Found { slot, what, outcome });
        }
    }

    pub(super) fn audit_wires(&mut self, scratch: &mut Scratch, found: &mut Vec<Found>) {
        let (what, action) = (Repaired::Device, "looking at the devices of pods");
        let entries = match scratch.wires.read(self.wires.map().fd().as_fd(), WIRES) {
            Ok(entries) => entries,
            Err(error) => {
                found.push(Found { slot: 0, what, outcome: Err(unread(action)(error)) });
                return;
            }
        };
        let written = &self.written.wires;
        let right = entries.iter().filter(|(device, slot)| written.get(device) == Some(slot));
        if entries.len() == written.len() && right.count() == written.len() {
            return;
        }
        let there: HashMap<u32, u32> = entries.iter().copied().collect();
        for (device, slot) in there.iter().filter(|(device, _)| !written.contains_key(device)) {
            let outcome = self.wires.remove(device).map(|()| 1);
            let outcome = outcome.map_err(DatapathError::map(action));
            found.push(Found { slot: *slot, what, outcome });
        }
        for (device, slot) in written.iter().filter(|(device, own)| there.get(device) != Some(own))
        {
            let outcome = self.wires.insert(*device, *slot, 0).map(|()| 1);
            let outcome = outcome.map_err(DatapathError::map(action));
            found.push(Found { slot: *slot, what, outcome });
        }
    }

    pub(super) fn audit_networks(&mut self, scratch: &mut Scratch, found: &mut Vec<Found>) {
        let (what, action) = (Repaired::Network, "looking at the trusted networks");
        let entries = match scratch.networks.read(self.networks.map().fd().as_fd(), NETWORKS) {
            Ok(entries) => entries,
            Err(error) => {
                found.push(Found { slot: 0, what, outcome: Err(unread(action)(error)) });
                return;
            }
        };
        let written = &self.written.networks;
        let is_right = |bits: u32, key: &NetworkKey, network: &Network| {
            let bank = written.get(&key.slot_bank);
            bank.and_then(|bank| bank.get(&(bits, *key))).is_some_and(|own| own == network)
        };
        let size: usize = written.values().map(HashMap::len).sum();
        let right = |(key, network): &&(lpm_trie::Key<Kernel<NetworkKey>>, Kernel<Network>)| {
            is_right(key.prefix_len(), &key.data().0, &network.0)
        };
        if entries.len() == size && entries.iter().filter(right).count() == size {
            return;
        }
        let kept: HashSet<(u32, NetworkKey)> =
            entries.iter().filter(right).map(|(key, _)| (key.prefix_len(), key.data().0)).collect();
        // What is there and should not be goes first: it may stand where something else belongs.
        let foreign = entries.iter().filter(|entry| !right(entry)).map(|(key, _)| {
            let data = key.data().0;
            (
                data.slot_bank / 2,
                self.networks.remove(&lpm_trie::Key::new(key.prefix_len(), Kernel(data))),
            )
        });
        let foreign: Vec<(u32, Result<(), MapError>)> = foreign.collect();
        let missing =
            written.values().flatten().filter(|((bits, key), _)| !kept.contains(&(*bits, *key)));
        let missing = missing.map(|((bits, key), network)| {
            let entry = lpm_trie::Key::new(*bits, Kernel(*key));
            (key.slot_bank / 2, self.networks.insert(&entry, Kernel(*network), 0))
        });
        let missing: Vec<(u32, Result<(), MapError>)> = missing.collect();
        found.extend(foreign.into_iter().chain(missing).map(|(slot, outcome)| {
            let outcome = outcome.map(|()| 1).map_err(DatapathError::map(action));
            Found { slot, what, outcome }
        }));
    }
}
