//! A process that joins a cgroup and tries to send.
//!
//! Before it joins it makes the same sockets once, so that what no hook refuses is not taken for a
//! refusal: a seccomp filter, or a machine without IPv6.

use std::{
    ffi::CString,
    fmt, io, mem,
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use nix::{
    errno::Errno,
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// EPERM, as the hooks refuse.
    Refused,
    /// Sent, or stopped by something behind the hooks.
    Passed,
    /// There was no such socket outside the cgroup either.
    Impossible,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Passed => "passed",
            Self::Impossible => "no such socket",
        })
    }
}

/// Everything the process needs, made before it is: between fork and exit it may not allocate.
#[derive(Debug)]
pub(super) struct Attempt {
    members: CString,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// The discard protocol (RFC 863), on addresses that reach nobody (RFC 5737, RFC 3849).
const PORT: u16 = 9;
const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

/// The exit status when the cgroup could not be joined; else two outcomes in two bits each.
const NOT_JOINED: i32 = 0xff;

impl Attempt {
    pub(super) fn prepare(cgroup: &Path) -> io::Result<Self> {
        let members = CString::new(cgroup.join("cgroup.procs").as_os_str().as_bytes())?;
        // SAFETY: both are plain structures of the system's, for which all zero is a value.
        let (mut v4, mut v6): (libc::sockaddr_in, libc::sockaddr_in6) = unsafe { mem::zeroed() };
        v4.sin_family = family(libc::AF_INET);
        v4.sin_port = PORT.to_be();
        v4.sin_addr.s_addr = u32::from_ne_bytes(V4.octets());
        v6.sin6_family = family(libc::AF_INET6);
        v6.sin6_port = PORT.to_be();
        v6.sin6_addr.s6_addr = V6.octets();
        Ok(Self { members, v4, v6 })
    }

    /// Starts the process and waits for it: it makes no call that blocks.
    pub(super) fn run(&self) -> io::Result<[Outcome; 2]> {
        // SAFETY: the child makes system calls alone and ends by one, so that it touches no lock that
        // another thread may have held.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let status = self.in_child();
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(status) }
            }
            ForkResult::Parent { child } => match waitpid(child, None)? {
                WaitStatus::Exited(_, NOT_JOINED) => {
                    Err(io::Error::other("the cgroup could not be joined"))
                }
                WaitStatus::Exited(_, status) => Ok([outcome(status), outcome(status >> 2)]),
                other => Err(io::Error::other(format!("the process ended by {other:?}"))),
            },
        }
    }

    fn in_child(&self) -> i32 {
        let possible = [libc::AF_INET, libc::AF_INET6].map(|family| make(family).is_ok());
        // SAFETY: a zero-terminated path.
        let members =
            unsafe { libc::open(self.members.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
        // SAFETY: one byte of a live buffer; a descriptor that is none makes the call fail.
        if unsafe { libc::write(members, b"0".as_ptr().cast(), 1) } != 1 {
            return NOT_JOINED;
        }
        let [v4, v6] = possible;
        let v4 = if v4 { send(libc::AF_INET, &self.v4) } else { Outcome::Impossible };
        let v6 = if v6 { send(libc::AF_INET6, &self.v6) } else { Outcome::Impossible };
        v4 as i32 | (v6 as i32) << 2
    }
}

/// Makes a datagram socket, which stays open until this process ends; else the error.
fn make(family: i32) -> Result<i32, i32> {
    // SAFETY: numbers alone.
    let socket = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 { Err(Errno::last_raw()) } else { Ok(socket) }
}

/// Makes a socket and sends one datagram by it: a hook may refuse either.
fn send<T>(family: i32, address: &T) -> Outcome {
    let socket = match make(family) {
        Ok(socket) => socket,
        Err(libc::EPERM) => return Outcome::Refused,
        Err(_other) => return Outcome::Passed,
    };
    let Ok(length) = libc::socklen_t::try_from(size_of::<T>()) else { return Outcome::Passed };
    let address: *const T = address;
    // SAFETY: the address is live and as long as is said; no byte of the buffer is read.
    let sent = unsafe {
        libc::sendto(socket, b"".as_ptr().cast(), 0, libc::MSG_DONTWAIT, address.cast(), length)
    };
    if sent < 0 && Errno::last_raw() == libc::EPERM { Outcome::Refused } else { Outcome::Passed }
}

const fn outcome(bits: i32) -> Outcome {
    match bits & 3 {
        0 => Outcome::Refused,
        2 => Outcome::Impossible,
        _ => Outcome::Passed,
    }
}

fn family(number: i32) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_cross_the_exit_status() {
        for one in [Outcome::Refused, Outcome::Passed, Outcome::Impossible] {
            for two in [Outcome::Refused, Outcome::Passed, Outcome::Impossible] {
                let status = one as i32 | (two as i32) << 2;
                assert_eq!([outcome(status), outcome(status >> 2)], [one, two]);
                assert_ne!(status, NOT_JOINED);
            }
        }
    }

    #[test]
    fn a_cgroup_that_is_none_cannot_be_joined() {
        let attempt = Attempt::prepare(Path::new("/nonexistent")).unwrap();
        assert_eq!(attempt.run().unwrap_err().to_string(), "the cgroup could not be joined");
    }
}
