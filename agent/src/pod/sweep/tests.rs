//! What is moved out of a pod's tables, and what is remembered of it.

use weir_ebpf::process::{COMPONENT_BYTES, PATH_COMPONENTS};

use super::*;

fn flow(count: u64, first_ns: u64, last_ns: u64) -> Flow {
    Flow { count, bytes_up: count, bytes_down: 1, first_ns, last_ns, ..Flow::default() }
}

fn flow_key(tgid: u32) -> FlowKey {
    FlowKey { tgid, ..FlowKey::default() }
}

fn process(tgid: u32, start_ns: u64, exec_id: u32) -> ProcessKey {
    ProcessKey { start_ns, tgid, exec_id }
}

#[test]
fn a_first_sight_that_is_still_on_its_way_is_no_return() {
    let mut swept = Swept::default();
    swept.keep_flow(flow_key(1), flow(2, 10, 20));
    assert!(!swept.knows(&flow_key(1), 10));
    assert!(swept.knows(&flow_key(1), 30));
    assert!(!swept.knows(&flow_key(2), 30));
}

#[test]
fn a_flow_that_comes_back_is_one_flow() {
    let mut swept = Swept::default();
    swept.keep_flow(flow_key(1), flow(2, 10, 20));
    swept.keep_flow(flow_key(1), flow(3, 30, 40));
    swept.keep_flow(flow_key(2), flow(1, 5, 5));
    let account = swept.account(vec![(flow_key(1), flow(4, 50, 60)), (flow_key(3), flow(1, 7, 7))]);
    assert_eq!(account.len(), 3);
    let known = account[&flow_key(1)];
    assert_eq!((known.count, known.bytes_up, known.bytes_down), (9, 9, 3));
    assert_eq!((known.first_ns, known.last_ns), (10, 60));
}

#[test]
fn the_account_is_bounded_and_known_flows_still_join() {
    let mut swept = Swept::default();
    for tgid in 0..u32::try_from(FLOWS).unwrap() {
        assert!(swept.has_room(&flow_key(tgid)));
        swept.keep_flow(flow_key(tgid), flow(1, 1, 1));
    }
    assert!(swept.has_room(&flow_key(0)));
    assert!(!swept.has_room(&flow_key(u32::MAX)));
}

#[test]
fn the_oldest_processes_are_forgotten_first() {
    let blank = Process {
        container: 0,
        arguments: 0,
        path: [[0; COMPONENT_BYTES]; PATH_COMPONENTS],
        ancestors: Default::default(),
        comm: Default::default(),
        components: 0,
        ancestor_count: 0,
        path_complete: 0,
        ready: 1,
    };
    let mut swept = Swept::default();
    let many = u32::try_from(PROCESSES).unwrap() + 1;
    for tgid in 0..many {
        swept.keep_process(process(tgid, 1, 0), &blank);
    }
    assert!(swept.process(&process(0, 1, 0)).is_none());
    assert!(swept.process(&process(many - 1, 1, 0)).is_some());
    assert_eq!(swept.processes.len(), PROCESSES);
}

#[test]
fn what_runs_keeps_its_last_execution_alone() {
    let keys = [process(7, 1, 0), process(7, 1, 2), process(7, 1, 1), process(8, 1, 0)];
    assert_eq!(ended(&keys, |tgid| tgid == 7), [keys[0], keys[2], keys[3]]);
    assert_eq!(ended(&keys, |_| false), keys);
}

#[test]
fn the_earlier_of_two_processes_of_one_id_has_ended() {
    let keys = [process(7, 2, 0), process(7, 1, 9)];
    assert_eq!(ended(&keys, |_| true), [keys[1]]);
}

#[test]
fn a_table_is_swept_from_half_of_its_size() {
    assert!(!is_filling(held(300, 44), 512));
    assert!(is_filling(held(300, 43), 512));
    assert_eq!(held(1, 2), 0);
}
