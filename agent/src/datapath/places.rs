//! Which tables of their own the slots have: told of all at once by a program that is run for it.
//!
//! Up to Linux 6.7 a look by the system call waits for an RCU grace period (6 to 21 ms) for each table
//! (`bpf_map_copy_value`): with the pods of a whole node that is seconds.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use aya::{
    Ebpf,
    maps::{Map, MapError},
    programs::RawTracePoint,
};

use weir_ebpf::pod::TABLES;

use super::{
    batch,
    error::DatapathError,
    syscall::{self, run},
};

/// The program, and what it has told.
#[derive(Debug)]
pub(super) struct Places {
    program: OwnedFd,
    told: OwnedFd,
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
            Ok(Self { program: program?, told: told.try_clone_to_owned()? })
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
        run(self.program.as_fd(), &[ids.len() as u64, number])?;
        batch::read_array(self.told.as_fd(), ids)?;
        let Some([low, high, ..]) = ids.first().copied() else { return Ok(()) };
        if u64::from(high) << 32 | u64::from(low) != number {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }
}
