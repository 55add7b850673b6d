//! Why a command was not started, or its run not finished.

use std::{io, path::PathBuf};

use crate::{
    datapath::DatapathError, events::sink::SinkError, pod::PodError, policy::PolicyError,
    resolver::UpstreamsError, system::cgroup::CgroupError,
};

/// Why `weir run` failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not root.
    #[error(
        "weir run needs root: it makes a cgroup and loads programs into the kernel; try `sudo weir run …`"
    )]
    NotRoot,
    /// A capability is missing.
    #[error("weir run needs the capability {0}, which this process lacks")]
    MissingCapability(&'static str),
    /// The profile cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The events cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// There is nobody to ask names of.
    #[error(
        "finding the name servers to ask in /etc/resolv.conf (or give one with --upstream ADDR)"
    )]
    Upstreams(#[from] UpstreamsError),
    /// cgroup version 2 is not usable.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The kernel side failed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The policy could not be put into force.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// Something on this machine could not be made, read or removed.
    #[error("{action} {}", path.display())]
    Path {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("{action}")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RunError {
    pub(super) fn path(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Path { action, path, source }
    }

    pub(super) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}
