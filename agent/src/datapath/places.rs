//! Which tables of their own the slots have: told of all at once by a program that is run for it.
//!
//! Up to Linux 6.7 a look by the system call waits for an RCU grace period (6 to 21 ms) for each table
//! (`bpf_map_copy_value`): with the pods of a whole node that is seconds.

use std::{
    io,
    mem::offset_of,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::{Ebpf, maps::MapError, programs::SchedClassifier};

use weir_ebpf::pod::{Placed, SLOTS_AT_ONCE, TABLES};

use super::{error::DatapathError, kernel::Kernel, object::Datapath, syscall};

/// The program.
#[derive(Debug)]
pub(super) struct Places(OwnedFd);

impl Places {
    /// Loads it.
    pub(super) fn load(programs: &mut Ebpf) -> Result<Self, DatapathError> {
        const PROGRAM: &str = "weir_places";
        let refused =
            |source| DatapathError::Program { program: PROGRAM, source: Box::new(source) };
        let program = programs.program_mut(PROGRAM).ok_or(DatapathError::Missing(PROGRAM))?;
        let program: &mut SchedClassifier = program.try_into().map_err(refused)?;
        program.load().map_err(refused)?;
        let program = program.fd().map_err(refused)?.as_fd().try_clone_to_owned();
        let program = program.map_err(MapError::IoError);
        program.map(Self).map_err(DatapathError::map("keeping the program that tells of tables"))
    }

    /// The identifiers of the tables of as many slots as `rows` has, from the slot `first` on; 0 for one that is not there.
    pub(super) fn read(&self, first: u32, rows: &mut [[u32; TABLES]]) -> io::Result<()> {
        for (first, rows) in (first..).step_by(SLOTS_AT_ONCE).zip(rows.chunks_mut(SLOTS_AT_ONCE)) {
            let empty = [[0; TABLES]; SLOTS_AT_ONCE];
            let mut packet = Kernel(Placed { first, padding: [0; 3], rows: empty });
            let bytes = offset_of!(Placed, rows) + size_of_val(rows);
            let told = syscall::run_over(self.0.as_fd(), &mut packet, bytes)?;
            if usize::try_from(told) != Ok(rows.len()) {
                return Err(io::Error::other(format!("told of {told} slots, not {}", rows.len())));
            }
            for (row, told) in rows.iter_mut().zip(packet.0.rows) {
                *row = told;
            }
        }
        Ok(())
    }
}

impl Datapath {
    /// The identifiers of the tables that a slot has, 0 of one that is not there.
    pub(super) fn tables_of(&self, number: u32) -> Result<[u32; TABLES], DatapathError> {
        let mut row = [[0; TABLES]];
        let told = self.places().map(|places| places.read(number, &mut row));
        if let (Some(Ok(())), [ids]) = (told, row) {
            return Ok(ids);
        }
        let maps = &self.pod_maps;
        let ids = || {
            Ok([
                maps.allow.id_of(number)?,
                maps.flows.id_of(number)?,
                maps.processes.id_of(number)?,
                maps.clients.id_of(number)?,
                maps.wire_flows.id_of(number)?,
            ])
        };
        let ids: io::Result<[Option<u32>; TABLES]> = ids();
        let ids = ids.map_err(MapError::IoError).map_err(DatapathError::map("opening a pod's map"));
        Ok(ids?.map(Option::unwrap_or_default))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use weir_ebpf::pod::SLOTS;

    use super::*;
    use crate::datapath::slot::PodLimits;

    /// A slot that has all its tables is opened with them, and one that has not is not.
    fn opens_slots(datapath: &Datapath) {
        let slots = [(); 2].map(|()| datapath.prepare_slot(PodLimits::default()).unwrap());
        for slot in &slots {
            let (adopted, _state) = datapath.adopt_slot(slot.number()).unwrap();
            assert_eq!(adopted.ids, slot.ids);
        }
        datapath.pod_maps.clients.remove(slots[0].number()).unwrap();
        assert!(datapath.adopt_slot(slots[0].number()).is_err());
        datapath.adopt_slot(slots[1].number()).unwrap();
    }

    #[test]
    fn a_slot_is_opened_with_the_tables_that_it_has() {
        let (datapath, _ring) = Datapath::load().unwrap();
        assert!(datapath.places().is_some());
        opens_slots(&datapath);
    }

    #[test]
    fn a_slot_is_opened_where_no_program_can_tell_of_its_tables() {
        let (datapath, _ring) = Datapath::load().unwrap();
        let datapath = datapath.without_places();
        assert!(datapath.places().is_none());
        opens_slots(&datapath);
    }

    #[test]
    fn slots_behind_the_first_packet_are_told_of_too() {
        let (datapath, _ring) = Datapath::load().unwrap();
        let slot = datapath.prepare_slot(PodLimits::default()).unwrap();
        let [_, flows, ..] = slot.ids;
        let ends = [127, 128, 255];
        for number in ends {
            datapath.pod_maps.flows.place(number, &slot.flows).unwrap();
        }
        let mut rows = [[0; TABLES]; SLOTS + 1];
        datapath.places().unwrap().read(0, &mut rows).unwrap();
        for (number, row) in (0..).zip(rows) {
            let there = if number == slot.number() {
                slot.ids
            } else if ends.contains(&number) {
                [0, flows, 0, 0, 0]
            } else {
                [0; TABLES]
            };
            assert_eq!(row, there, "slot {number}");
        }
    }

    #[test]
    fn all_who_ask_at_once_are_told() {
        let (datapath, _ring) = Datapath::load().unwrap();
        let slot = datapath.prepare_slot(PodLimits::default()).unwrap();
        let places = datapath.places().unwrap();
        let ask = || {
            for _ in 0..500 {
                let mut row = [[0; TABLES]];
                places.read(slot.number(), &mut row).unwrap();
                assert_eq!(row, [slot.ids]);
            }
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
    }
}
