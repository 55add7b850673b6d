//! Small C programs of the suites, compiled at test time by the machine's own `cc`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::exec;

/// A program of `tests/programs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Every way to send; see its head comment for the acts.
    Probe,
    /// Statically linked; asks the server it is told, ignores resolv.conf, then connects.
    StaticClient,
    /// Connects and sends through `io_uring` submissions alone, by raw system calls.
    Uring,
    /// Tries to leave its cgroup and to reach the enforcement.
    Escape,
    /// Rewrites a service address at connect time, from a parent cgroup.
    Balancer,
    /// Opens and closes TCP connections as fast as it can.
    Storm,
    /// Passes a socket made outside to a process inside.
    Handover,
    /// Statically linked; sends to the attacker from its first instruction on.
    Flood,
    /// Statically linked; floods names, events, entries and connections, or asks little and measures.
    Deluge,
    /// Sends frames from below IP, and counts them on the other side; statically linked.
    Frames,
    /// Statically linked; what a job tries beside sending.
    Intruder,
    /// Changes by bpf(2) what holds its pod in the kernel; statically linked.
    Tamper,
}

impl Program {
    /// All of them.
    const ALL: [Self; 12] = [
        Self::Probe,
        Self::StaticClient,
        Self::Uring,
        Self::Escape,
        Self::Balancer,
        Self::Storm,
        Self::Handover,
        Self::Flood,
        Self::Deluge,
        Self::Frames,
        Self::Intruder,
        Self::Tamper,
    ];

    /// Compiles all that are not compiled yet: where a machine is emulated, a compiler takes long.
    pub fn compile_all() -> Result<()> {
        Self::ALL.into_iter().try_for_each(|program| program.path().map(drop))
    }

    const fn source(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Probe => ("probe", include_str!("../programs/probe.c"), &[]),
            Self::StaticClient => {
                ("static-client", include_str!("../programs/static_client.c"), &["-static"])
            }
            Self::Uring => ("uring", include_str!("../programs/uring.c"), &[]),
            Self::Escape => ("escape", include_str!("../programs/escape.c"), &[]),
            Self::Balancer => ("balancer", include_str!("../programs/balancer.c"), &[]),
            Self::Storm => ("storm", include_str!("../programs/storm.c"), &[]),
            Self::Handover => ("handover", include_str!("../programs/handover.c"), &[]),
            Self::Flood => ("flood", include_str!("../programs/flood.c"), &["-static"]),
            Self::Deluge => ("deluge", include_str!("../programs/deluge.c"), &["-static"]),
            Self::Tamper => ("tamper", include_str!("../programs/tamper.c"), &["-static"]),
            Self::Frames => ("frames", include_str!("../programs/frames.c"), &["-static"]),
            Self::Intruder => ("intruder", include_str!("../programs/intruder.c"), &["-static"]),
        }
    }

    /// The path of the compiled program; compiled once per version of its source.
    pub fn path(self) -> Result<String> {
        let (name, source, flags) = self.source();
        let mut hasher = DefaultHasher::new();
        (source, flags).hash(&mut hasher);
        let folder = target_folder()?.join("programs").join(format!("{:016x}", hasher.finish()));
        let binary = folder.join(name);
        if !binary.exists() {
            std::fs::create_dir_all(&folder)?;
            // Tests beside this one may be compiling the same program.
            let own = tempfile::tempdir_in(&folder)?;
            let (text, fresh) = (own.path().join("source.c"), own.path().join(name));
            std::fs::write(&text, source)?;
            let mut cc = Command::new("cc");
            cc.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
            cc.arg(&fresh).arg(&text).args(flags);
            exec::run(cc, Duration::from_secs(60))?.expect_code(0)?;
            std::fs::rename(&fresh, &binary)?;
        }
        Ok(binary.to_string_lossy().into_owned())
    }
}

/// The folder of build results that holds the running test, such as `target/debug`.
pub fn target_folder() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the running program")?;
    let folder = exe.parent().context("a program without a folder")?;
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    Ok(folder.context("a deps folder without a parent")?.to_path_buf())
}

/// Which address families an act of the probe works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6.
    Both,
    /// IPv4 alone: v4-mapped addresses, and packets built by hand.
    V4,
}

/// One way to send that the probe knows.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// The probe's first argument.
    pub name: &'static str,
    /// What it can be aimed at.
    pub families: Families,
    /// Whether a kernel may lack what it needs.
    pub optional: bool,
    /// Whether it only opens a socket, so that nothing arrives anywhere.
    pub opens_only: bool,
    /// Whether it needs `CAP_NET_RAW` or `CAP_NET_ADMIN`, which weir takes away.
    pub privileged: bool,
}

const fn act(name: &'static str) -> Act {
    let families = Families::Both;
    Act { name, families, optional: false, opens_only: false, privileged: false }
}

const fn v4(name: &'static str) -> Act {
    Act { families: Families::V4, ..act(name) }
}

const fn optional(name: &'static str) -> Act {
    Act { optional: true, ..act(name) }
}

const fn privileged(act: Act) -> Act {
    Act { privileged: true, ..act }
}

/// Every act of the probe.
pub const ACTS: [Act; 29] = [
    act("tcp"),
    act("tcp-fastopen"),
    act("tcp-splice"),
    act("tcp-device"),
    privileged(act("tcp-mark")),
    optional("mptcp"),
    optional("sctp"),
    act("udp-sendto"),
    act("udp-sendmsg"),
    act("udp-sendmmsg"),
    act("udp-write"),
    act("udp-reconnect"),
    act("udp-disconnect"),
    act("udp-segments"),
    act("udp-fragments"),
    act("udp-splice"),
    optional("udplite"),
    act("icmp-datagram"),
    privileged(act("icmp-raw")),
    v4("mapped-tcp"),
    v4("mapped-udp-sendto"),
    v4("mapped-udp-write"),
    v4("mapped-tcp-fastopen"),
    privileged(v4("raw-udp")),
    privileged(v4("raw-spoofed")),
    privileged(v4("packet-datagram")),
    privileged(v4("packet-raw")),
    Act { opens_only: true, ..privileged(optional("open-xdp")) },
    Act { opens_only: true, ..optional("open-vsock") },
];
