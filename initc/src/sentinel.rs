//! The proof by deed: a connect that only enforcement refuses in the way that was announced.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Where nobody is: TEST-NET-1 (RFC 5737), the discard port (RFC 863).
pub(crate) const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
/// The hook refuses within the system call; without it the connect would only hang.
const PATIENCE: Duration = Duration::from_millis(250);

/// The error with which weir's hook refuses the sentinel. The numbers are those of asm-generic,
/// which every architecture that weir runs on uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No firewall gives it. Linux 6.1 and later, where a hook chooses its error (`bpf_set_retval`).
    Enoano,
    /// What a hook's refusal is without that choice; others can give it too.
    Eperm,
}

impl Refusal {
    /// The error number.
    const fn number(self) -> i32 {
        match self {
            Self::Enoano => 55,
            Self::Eperm => 1,
        }
    }

    /// The error's name, as answers spell it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enoano => "ENOANO",
            Self::Eperm => "EPERM",
        }
    }

    /// The refusal with that name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        [Self::Enoano, Self::Eperm].into_iter().find(|refusal| refusal.name().as_bytes() == name)
    }

    /// Whether `outcome` is exactly this refusal.
    pub(crate) fn explains(self, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Failed(error) if error.raw_os_error() == Some(self.number()))
    }
}

/// What became of the connect.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Somebody answered.
    Connected,
    /// Nobody did in time.
    TimedOut,
    /// The system refused.
    Failed(io::Error),
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => formatter.write_str("it connected"),
            Self::TimedOut => formatter.write_str("nothing answered in time"),
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

/// Tries the connect, for at most `left`.
pub(crate) fn connect(left: Duration) -> Outcome {
    // A zero time-out is an error of its own.
    let patience = PATIENCE.min(left).max(Duration::from_millis(1));
    match TcpStream::connect_timeout(&SocketAddr::from(ADDRESS), patience) {
        Ok(_connection) => Outcome::Connected,
        // std's own time-out has no number; the system's has one and is no refusal either.
        Err(error) if error.kind() == ErrorKind::TimedOut => Outcome::TimedOut,
        Err(error) => Outcome::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Refusal};
    use std::io::Error;

    fn failed(number: i32) -> Outcome {
        Outcome::Failed(Error::from_raw_os_error(number))
    }

    #[test]
    fn only_the_announced_error_counts() {
        for (refusal, own, other) in [(Refusal::Enoano, 55, 1), (Refusal::Eperm, 1, 55)] {
            assert!(refusal.explains(&failed(own)));
            // The other refusal; EACCES of a prohibiting route; no route; refused by a host.
            for number in [other, 13, 101, 113, 111] {
                assert!(!refusal.explains(&failed(number)), "{refusal:?} {number}");
            }
            assert!(!refusal.explains(&Outcome::Connected));
            assert!(!refusal.explains(&Outcome::TimedOut));
        }
    }

    #[test]
    fn refusals_have_exact_names() {
        assert_eq!(Refusal::named(b"ENOANO"), Some(Refusal::Enoano));
        assert_eq!(Refusal::named(b"EPERM"), Some(Refusal::Eperm));
        for wrong in [b"".as_slice(), b"eperm", b"EACCES", b"EPERM "] {
            assert_eq!(Refusal::named(wrong), None);
        }
    }
}
