//! Which tables of their own the slots have: told of all at once by a program that is run for it.
//!
//! Up to Linux 6.7 a look by the system call waits for an RCU grace period (6 to 21 ms) for each table
//! (`bpf_map_copy_value`): with the pods of a whole node that is seconds.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::Mutex,
};

use aya::{
    Ebpf,
    maps::{Map, MapError},
    programs::RawTracePoint,
};

use weir_ebpf::pod::TABLES;

use super::{
    attach::lock,
    batch,
    error::DatapathError,
    object::Datapath,
    syscall::{self, run},
};

/// The program, and what it has told.
#[derive(Debug)]
pub(super) struct Places {
    program: OwnedFd,
    /// Locked from a run to the end of reading what it has told.
    told: Mutex<OwnedFd>,
}

impl Places {
    /// Loads the program.
    pub(super) fn load(programs: &mut Ebpf) -> Result<Self, DatapathError> {
        const PROGRAM: &str = "weir_places";
        let refused =
            |source| DatapathError::Program { program: PROGRAM, source: Box::new(source) };
        let program = programs.program_mut(PROGRAM).ok_or(DatapathError::Missing(PROGRAM))?;
        let program: &mut RawTracePoint = program.try_into().map_err(refused)?;
        program.load().map_err(refused)?;
        let program = program.fd().map_err(refused)?.as_fd().try_clone_to_owned();
        let Some(Map::Array(told)) = programs.map("PLACED") else {
            return Err(DatapathError::Missing("PLACED"));
        };
        let opened = |told: BorrowedFd<'_>| {
            // Whoever could write there could hide what he has put in the place of a table.
            syscall::freeze(told)?;
            Ok(Self { program: program?, told: Mutex::new(told.try_clone_to_owned()?) })
        };
        opened(told.fd().as_fd()).map_err(|error: io::Error| {
            DatapathError::map("closing a table to others")(MapError::IoError(error))
        })
    }

    /// The identifiers of the tables of the first `ids.len()` slots, 0 for one that is not there; nothing of slot 0, which
    /// is no pod's. An error where the kernel has left the run out, too: what is there is of an earlier one.
    pub(super) fn read(&self, ids: &mut [[u32; TABLES]]) -> io::Result<()> {
        // Whoever may run programs can bring that about, and must not know the number.
        let number = getrandom::u64().map_err(io::Error::other)?;
        let told = lock(&self.told);
        run(self.program.as_fd(), &[ids.len() as u64, number])?;
        batch::read_array(told.as_fd(), ids)?;
        drop(told);
        let Some([low, high, ..]) = ids.first().copied() else { return Ok(()) };
        if u64::from(high) << 32 | u64::from(low) != number {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }
}

impl Datapath {
    /// The identifiers of the tables that a slot has, 0 of one that is not there.
    pub(super) fn tables_of(&self, number: u32) -> Result<[u32; TABLES], DatapathError> {
        let mut all = vec![[0; TABLES]; number as usize + 1];
        let told = self.places().map(|places| places.read(&mut all));
        if let (Some(Ok(())), Some(ids)) = (told, all.last()) {
            return Ok(*ids);
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

    use super::*;
    use crate::datapath::slot::PodLimits;

    #[test]
    fn a_slot_is_opened_with_the_tables_that_it_has() {
        let (datapath, _ring) = Datapath::load().unwrap();
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
    fn all_who_ask_at_once_are_told() {
        let (datapath, _ring) = Datapath::load().unwrap();
        let slot = datapath.prepare_slot(PodLimits::default()).unwrap();
        let places = datapath.places().unwrap();
        let ask = || {
            for _ in 0..500 {
                let mut ids = vec![[0; TABLES]; slot.number() as usize + 1];
                places.read(&mut ids).unwrap();
                assert_eq!(ids.last(), Some(&slot.ids));
            }
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
    }
}
