//! Skips as outcomes: a closed set, each recorded where the runner counts it.

use std::fs::OpenOptions;
use std::io::Write;

use anyhow::{Context, Result};

/// Names the file to which skips are appended, one line each; set by the test runner.
pub const SKIPS_FILE: &str = "WEIR_SKIPS_FILE";

/// Every reason for which a case may pass without having run. Anything else is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The kernel was built without `io_uring`, or a sysctl turns it off.
    IoUringDisabled,
    /// The kernel has no such socket family or protocol (SCTP, UDP-Lite, MPTCP, XDP, vsock).
    ProtocolMissing,
    /// No package client (pip, npm, cargo) of this machine reaches its registry without weir.
    NoPackageRegistry,
    /// Maven is not installed, and is too large to be installed for one case.
    NoMaven,
    /// The kernel refuses to load BPF LSM programs.
    NoBpfLsm,
    /// The kernel has no TCX links, which began with 6.6.
    NoTcx,
    /// The kernel has no hook for nftables where frames leave a device, which began with 5.16.
    NoEgressHook,
    /// The kernel makes no listener of a socket that was ever connected (seen on 6.18.44: EINVAL).
    NoUsedListener,
    /// No Debian mirror that this machine reaches gives this series of containerd.
    NoContainerd,
    /// No Debian mirror that this machine reaches gives Docker.
    NoDocker,
    /// No Debian mirror that this machine reaches gives the source of Kubernetes.
    NoKubernetes,
    /// No Debian mirror that this machine reaches gives this kernel.
    NoKernel,
    /// A kernel between others, which the short matrix leaves out.
    ShortMatrix,
    /// No package client of this machine gives Helm and kubectl for its processor.
    NoHelm,
    /// No Debian mirror that this machine reaches gives Prometheus.
    NoPrometheus,
    /// pip of this machine gives no libraries for a collector.
    NoCollector,
    /// No Debian mirror that this machine reaches gives what builds for another architecture.
    NoCrossCompiler,
}

impl Skip {
    /// One line for the summary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IoUringDisabled => "io_uring is off in this kernel",
            Self::ProtocolMissing => "the kernel lacks this protocol",
            Self::NoPackageRegistry => "no package client of this machine reaches a registry",
            Self::NoMaven => "Maven is not installed",
            Self::NoContainerd => "no Debian mirror gives this containerd",
            Self::NoDocker => "no Debian mirror gives Docker",
            Self::NoKubernetes => "no Debian mirror gives Kubernetes",
            Self::ShortMatrix => "in the whole matrix alone (`cargo xtask test --all`)",
            Self::NoKernel => "no Debian mirror gives this kernel",
            Self::NoHelm => "no package client of this machine gives Helm",
            Self::NoPrometheus => "no Debian mirror gives Prometheus",
            Self::NoCollector => "pip gives no libraries for a collector",
            Self::NoCrossCompiler => "no Debian mirror gives a cross compiler",
            Self::NoBpfLsm => "the kernel loads no BPF LSM programs",
            Self::NoTcx => "the kernel has no TCX links",
            Self::NoUsedListener => "the kernel makes no listener of a used socket",
            Self::NoEgressHook => "nftables has no hook where frames leave in this kernel",
        }
    }
}

/// Records that `case` did not run because of `skip`.
pub fn record(case: &str, skip: Skip) -> Result<()> {
    let line = format!("{case}: {}\n", skip.as_str());
    let Some(path) = std::env::var_os(SKIPS_FILE) else {
        return Ok(std::io::stderr().write_all(line.as_bytes())?);
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .context("opening the list of skips")?;
    Ok(file.write_all(line.as_bytes())?)
}
