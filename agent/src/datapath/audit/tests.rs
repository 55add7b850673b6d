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
    assert_eq!(stage("198.51.100.0/24"), second, "the state that was to name it never came");
    assert_eq!(banks(&datapath), HashSet::from([of(first), of(second)]));

    in_force(2, second);
    datapath.retire_networks(&slot, &mut scratch);
    assert_eq!(banks(&datapath), HashSet::from([of(first), of(second)]), "at the first look");
    datapath.retire_networks(&slot, &mut scratch);
    assert_eq!(banks(&datapath), HashSet::from([of(second)]));
    datapath.retire_networks(&slot, &mut scratch);
    assert_eq!(banks(&datapath), HashSet::from([of(second)]));
}

#[test]
fn tables_that_were_exchanged_are_seen_at_the_next_look_and_put_back() {
    let (datapath, _ring) = Datapath::load().unwrap();
    let slots = [(); 3].map(|()| datapath.prepare_slot(PodLimits::default()).unwrap());
    let [first, gap, last] = &slots;
    datapath.pod_maps.flows.remove(gap.number()).unwrap();
    let mut scratch = Scratch::default();
    let mut look = || {
        datapath.audit_tables(&mut scratch);
        let places = slots.each_ref().map(|slot| scratch.placed[slot.number() as usize]);
        let mut found = Vec::new();
        for slot in &slots {
            datapath.audit_slot(slot, &scratch, &mut found);
        }
        (places, found)
    };

    let (places, found) = look();
    let [allow, _, processes, clients, wire_flows] = gap.ids;
    assert_eq!(places, [first.ids, [allow, 0, processes, clients, wire_flows], last.ids]);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert!(one.slot == gap.number() && matches!(one.outcome, Ok(1)), "{one:?}");
    assert_eq!(one.what, Repaired::Table);

    let (places, found) = look();
    assert_eq!(places, slots.each_ref().map(|slot| slot.ids));
    assert!(found.is_empty(), "{found:?}");

    let own = lock(&first.allow);
    datapath.pod_maps.allow.place(last.number(), &own).unwrap();
    drop(own);
    let (places, found) = look();
    assert_eq!(places[2][0], first.ids[0]);
    assert!(matches!(found[..], [Found { outcome: Ok(1), .. }]), "{found:?}");
    assert_eq!(look().0[2], last.ids);
}

fn datapath_state(datapath: &Datapath, slot: &Slot) -> PodState {
    lock(&datapath.tables).state(slot.number())
}
