//! What can go wrong between the agent and the kernel.

use std::{io, path::PathBuf};

use super::btf::BtfError;

/// An operation on the kernel side that failed.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The embedded object could not be loaded, or a map could not be made.
    #[error("loading the kernel programs")]
    Load(#[source] Box<aya::EbpfError>),
    /// The kernel refused a program.
    #[error("loading the kernel program {program}")]
    Program {
        /// The program's name in the object.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// The object lacks a program or map that this agent was built with.
    #[error("the kernel object has no {0}")]
    Missing(&'static str),
    /// A map operation failed.
    #[error("{action}")]
    Map {
        /// What was being done.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: Box<aya::maps::MapError>,
    },
    /// A hook could not be attached to a cgroup.
    #[error("attaching {hook} to the cgroup {}", cgroup.display())]
    Attach {
        /// The hook.
        hook: &'static str,
        /// The cgroup.
        cgroup: PathBuf,
        /// What the kernel said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The second layer could not be attached.
    #[error("guarding the device with index {device}")]
    Wire {
        /// The device.
        device: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A link or map could not be pinned.
    #[error("pinning {}", path.display())]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A cgroup could not be opened or read.
    #[error("opening the cgroup {}", path.display())]
    Cgroup {
        /// The cgroup.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel's BTF could not be read.
    #[error("reading the kernel's type information")]
    Btf(#[from] BtfError),
    /// The ring buffer could not be watched.
    #[error("watching the event ring")]
    Ring(#[source] io::Error),
    /// All slots are taken.
    #[error("all {0} pod slots are taken")]
    NoSlot(usize),
    /// A profile holds more than the kernel tables can.
    #[error("a trusted network holds {ports} ports, more than {limit}", limit = weir_ebpf::pod::PORTS_PER_NETWORK)]
    TooManyPorts {
        /// How many it holds.
        ports: usize,
    },
}

impl DatapathError {
    pub(super) fn map(action: &'static str) -> impl FnOnce(aya::maps::MapError) -> Self {
        move |source| Self::Map { action, source: Box::new(source) }
    }
}
