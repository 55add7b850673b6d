//! What a look at the tables changes.

use std::collections::HashSet;

use weir_ebpf::pod::{PodState, flags};

use super::*;
use crate::datapath::slot::{NetworkEntry, PodLimits};

/// The banks of which the kernel holds networks.
fn banks(datapath: &Datapath) -> HashSet<u32> {
    let tables = lock(&datapath.tables);
    tables.networks.keys().map(|key| key.unwrap().data().0.slot_bank).collect()
}

#[test]
fn networks_of_the_policy_before_go_once_no_program_can_see_them() {
    let (datapath, _ring) = Datapath::load().unwrap();
    let slot = datapath.prepare_slot(PodLimits::default()).unwrap();
    let mut scratch = Scratch::default();
    let stage = |net: &str| {
        let entry = NetworkEntry { net: net.parse().unwrap(), network: Network::default() };
        datapath.stage_networks(&slot, &[entry]).unwrap()
    };
    let in_force = |generation, bank| {
        let opened =
            PodState { generation, bank, flags: flags::READY, ..datapath_state(&datapath, &slot) };
        datapath.set_state(&slot, &opened).unwrap();
    };
    let of = |bank| slot_bank(slot.number(), bank);

    let first = stage("192.0.2.0/24");
    in_force(1, first);
    let second = stage("198.51.100.0/24");
    for _ in 0..3 {
        // Between the two steps of a change the new networks are in force nowhere yet.
        datapath.retire_networks(&slot, &mut scratch);
    }
    assert_eq!(banks(&datapath), HashSet::from([of(first), of(second)]));

    in_force(2, second);
    datapath.retire_networks(&slot, &mut scratch);
    assert_eq!(banks(&datapath), HashSet::from([of(first), of(second)]), "at the first look");
    datapath.retire_networks(&slot, &mut scratch);
    assert_eq!(banks(&datapath), HashSet::from([of(second)]));
    datapath.retire_networks(&slot, &mut scratch);
    assert_eq!(banks(&datapath), HashSet::from([of(second)]));
}

fn datapath_state(datapath: &Datapath, slot: &Slot) -> PodState {
    lock(&datapath.tables).state(slot.number())
}
