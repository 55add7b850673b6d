//! Sockets that were open before the enforcement began.

use std::{
    fs,
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
};

use nix::sys::socket::{UnixAddr, getsockname, getsockopt, sockopt};

const STANDARD: std::ops::RangeInclusive<RawFd> = 0..=2;

/// Closes every inherited socket that is not a unix socket: a socket belongs to the cgroup that it was
/// made in, so no hook of this one would ever see its packets. Standard input and output are left to
/// whoever passed them; a warning says so.
pub(super) fn close_sockets() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| is_foreign_socket(*descriptor)) {
        if STANDARD.contains(&descriptor) {
            super::super::complain(&format!(
                "descriptor {descriptor} is a network socket made outside: what goes through it is not \
                 seen by weir"
            ));
        } else {
            // SAFETY: an inherited descriptor that nothing in this program owns.
            let _closed = unsafe { libc::close(descriptor) };
        }
    }
}

/// Whether the descriptor is a socket of any family but `AF_UNIX`.
fn is_foreign_socket(descriptor: RawFd) -> bool {
    // SAFETY: used for one call; a descriptor that was closed meanwhile makes that call fail.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let is_socket = getsockopt(&descriptor, sockopt::SockType).is_ok();
    is_socket && getsockname::<UnixAddr>(descriptor.as_raw_fd()).is_err()
}
