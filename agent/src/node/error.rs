//! Why the agent does not run, or a pod is not enforced.

use std::{io, path::PathBuf};

use crate::{
    control::ControlError,
    datapath::DatapathError,
    events::sink::SinkError,
    health::HealthError,
    netns::{NetnsError, listener::ListenerError, nftables::NftablesError, uplink::UplinkError},
    pod::PodError,
    resolver::UpstreamsError,
    system::cgroup::CgroupError,
};

/// Why the agent could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Not root.
    #[error("weir agent needs root, or the capabilities that its Helm chart lists")]
    NotRoot,
    /// No BPF file system where the pins are to be.
    #[error(
        "{} is not on a BPF file system; mount one with `mount -t bpf bpf /sys/fs/bpf`, and into the agent's pod with a hostPath volume",
        .0.display()
    )]
    NoBpffs(PathBuf),
    /// Another agent is running.
    #[error("another weir agent is running on this node: it holds the lock on {}", .0.display())]
    Running(PathBuf),
    /// cgroup version 2 is not usable.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The events cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// There is nobody to ask names of.
    #[error("finding the name servers to ask in /etc/resolv.conf (or set dns.upstreams)")]
    Upstreams(#[from] UpstreamsError),
    /// Another agent is running, or the control socket cannot be made.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Health cannot be served.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// The kernel side failed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
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

impl NodeError {
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

/// Why a pod is not enforced. It stays closed, and its barrier waits.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnforceError {
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    #[error(transparent)]
    Pod(#[from] PodError),
    #[error("entering the pod's network namespace")]
    Netns(#[from] NetnsError),
    #[error("finding the host side of the pod's network")]
    Uplink(#[from] UplinkError),
    #[error("opening the pod's DNS listener")]
    Listener(#[from] ListenerError),
    #[error("`require.lsm` wants the hooks of security modules, which are not in force: {0}")]
    NoModules(String),
    #[error("capturing the pod's DNS")]
    Nftables(#[from] NftablesError),
    #[error("{action}")]
    System {
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

impl EnforceError {
    pub(super) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}
