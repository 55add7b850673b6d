//! What can go wrong between the agent and the kernel.

use std::{io, path::PathBuf};

use aya::programs::ProgramError;

use super::{btf::BtfError, locked_memory::LockedMemoryLimit};

/// An operation on the kernel side that failed.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// There is no room for programs and tables.
    #[error(
        "Linux before 5.11 counts kernel programs and tables as locked memory, of which this process may have {limit}: give it CAP_SYS_RESOURCE (`addCapabilities: [SYS_RESOURCE]` of the chart) or a higher limit (`ulimit -l unlimited`, LimitMEMLOCK=infinity of systemd)"
    )]
    LockedMemory {
        /// What it may have.
        limit: LockedMemoryLimit,
        /// What the kernel refused.
        #[source]
        source: Box<DatapathError>,
    },
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
        source: Box<dyn std::error::Error + Send + Sync>,
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

/// What the verifier has against a program: where it stopped, since all that it says fills a screen.
#[derive(Debug, thiserror::Error)]
#[error("the verifier ends with `{last}`")]
struct Refusal {
    last: String,
    #[source]
    source: io::Error,
}

impl Refusal {
    fn new(said: &str, source: io::Error) -> Self {
        // Its very last line counts instructions.
        let mut lines = said.lines().map(str::trim).rev();
        let last = lines.find(|line| !line.is_empty() && !line.starts_with("processed "));
        Self { last: last.unwrap_or_default().to_owned(), source }
    }
}

impl DatapathError {
    pub(super) fn program(program: &'static str) -> impl FnOnce(ProgramError) -> Self {
        move |error| {
            let source = match error {
                ProgramError::LoadError { io_error, verifier_log } => {
                    tracing::debug!(program, %verifier_log, "the kernel refused a program");
                    Refusal::new(&verifier_log.to_string(), io_error).into()
                }
                other => other.into(),
            };
            Self::Program { program, source }
        }
    }

    pub(super) fn map(action: &'static str) -> impl FnOnce(aya::maps::MapError) -> Self {
        move |source| Self::Map { action, source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_verifier_is_one_line() {
        let said = "0: R1=ctx() R10=fp0\n1: (85) call unknown#113\nprogram of this type cannot use helper\n\
                    processed 2 insns (limit 1000000) max_states_per_insn 0\n\n";
        let refusal = Refusal::new(said, io::Error::from_raw_os_error(libc::EINVAL));
        let text = refusal.to_string();
        assert_eq!(text, "the verifier ends with `program of this type cannot use helper`");
    }
}
