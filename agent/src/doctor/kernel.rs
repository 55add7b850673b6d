//! The kernel and what it offers beside the programs.

use std::{
    fs, io,
    net::{Ipv6Addr, UdpSocket},
    path::Path,
};

use super::{
    check::{Check, Subject},
    features::OLDEST_TRIED,
    release::Running,
};
use crate::system::mounts;

const RELEASE: Subject = Subject::new("kernel", "kernel");
const BPFFS: Subject = Subject::new("bpffs", "BPF file system");
const IPV6_LOOPBACK: Subject = Subject::new("ipv6_loopback", "IPv6 loopback");

const BPFFS_MOUNT_POINT: &str = "/sys/fs/bpf";

pub(super) fn release(running: Result<&Running, &String>) -> Check {
    match running {
        Ok(running) if running.release >= OLDEST_TRIED => RELEASE.ok(&running.text),
        Ok(Running { text, .. }) | Err(text) => RELEASE.weaker(
            text,
            format!("weir was never tried on a kernel before {OLDEST_TRIED}"),
            "use a newer kernel, or believe the checks below",
        ),
    }
}

/// Where links are pinned, so that enforcement outlives the process that put it in force.
pub(super) fn bpffs() -> Check {
    let mounted = mounts::is_mounted("bpf", Path::new(BPFFS_MOUNT_POINT)).unwrap_or(false);
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    judge_bpffs(mounted, &known)
}

/// `known` is `/proc/filesystems` (proc(5)).
fn judge_bpffs(mounted: bool, known: &str) -> Check {
    if mounted {
        BPFFS.ok(BPFFS_MOUNT_POINT)
    } else if known.lines().any(|line| line.split_whitespace().last() == Some("bpf")) {
        BPFFS.ok(format!("not mounted; `weir run` mounts it at {BPFFS_MOUNT_POINT}"))
    } else {
        BPFFS.missing(
            "the kernel has none",
            "links cannot be pinned, and `weir run` does not start without that",
            "use a kernel with CONFIG_BPF_SYSCALL",
        )
    }
}

/// The listener for questions to IPv6 name servers.
pub(super) fn ipv6_loopback() -> Check {
    let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
    judge_ipv6_loopback(has_ipv6, UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).map(drop))
}

fn judge_ipv6_loopback(has_ipv6: bool, bound: io::Result<()>) -> Check {
    match bound {
        Ok(()) => IPV6_LOOPBACK.ok("::1"),
        Err(_unneeded) if !has_ipv6 => IPV6_LOOPBACK.ok("this machine has no IPv6, and needs none"),
        Err(error) => IPV6_LOOPBACK.weaker(
            format!("::1 cannot be bound: {error}"),
            "programs that ask an IPv6 name server over an IPv6-only socket get no answer; nothing \
             passes that should not",
            "bring the loopback device up and set net.ipv6.conf.lo.disable_ipv6=0",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{State, release::Release};

    fn running(major: u32, minor: u32) -> Running {
        Running { release: Release::new(major, minor), text: format!("{major}.{minor}.0") }
    }

    #[test]
    fn kernels_before_the_oldest_tried_are_doubtful() {
        assert_eq!(release(Ok(&running(5, 10))), RELEASE.ok("5.10.0"));
        assert_eq!(release(Ok(&running(5, 9))).state, State::Weaker);
        assert_eq!(release(Err(&"odd".to_owned())).state, State::Weaker);
    }

    #[test]
    fn bpffs_is_mounted_or_can_be() {
        assert_eq!(judge_bpffs(true, "").state, State::Ok);
        assert!(judge_bpffs(false, "nodev\tproc\nnodev\tbpf\n").found.starts_with("not mounted"));
        assert_eq!(judge_bpffs(false, "nodev\tproc\n\text4\n").state, State::Missing);
    }

    #[test]
    fn loopback_matters_only_where_there_is_ipv6() {
        let refused = || Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
        assert_eq!(judge_ipv6_loopback(true, Ok(())).state, State::Ok);
        assert_eq!(judge_ipv6_loopback(false, refused()).state, State::Ok);
        assert_eq!(judge_ipv6_loopback(true, refused()).state, State::Weaker);
    }
}
