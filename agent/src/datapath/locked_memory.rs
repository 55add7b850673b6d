//! Locked memory, by which Linux before 5.11 counts programs and tables.
//!
//! It is no matter of privileges: whoever is at the limit gets EPERM, root too. Later kernels count them as memory of the
//! cgroup.

use std::{error::Error, fmt, io};

use aya::util::KernelVersion;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};

use super::error::DatapathError;

/// The kernel that began to count otherwise.
const COUNTED_OTHERWISE: KernelVersion = KernelVersion::new(5, 11, 0);

/// How much of it this process may have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedMemoryLimit(pub u64);

impl fmt::Display for LockedMemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.0 >> 10)
    }
}

/// Raises the limit as far as this process may; what stays of it, if this kernel counts by it.
#[must_use]
pub fn raise() -> Option<LockedMemoryLimit> {
    // A kernel of which nobody knows is taken for a new one, as most are.
    if KernelVersion::current().map_or(true, |running| running >= COUNTED_OTHERWISE) {
        return None;
    }
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).ok()?;
    let is_raised =
        |limit: rlim_t| setrlimit(Resource::RLIMIT_MEMLOCK, limit, limit).is_ok().then_some(limit);
    let limit = is_raised(RLIM_INFINITY).or_else(|| is_raised(hard)).unwrap_or(soft);
    (limit != RLIM_INFINITY).then_some(LockedMemoryLimit(limit))
}

/// Names the limit as the reason where it is the reason.
pub(super) fn explain(error: DatapathError) -> DatapathError {
    match raise() {
        Some(limit) if is_refusal(&error) => {
            DatapathError::LockedMemory { limit, source: Box::new(error) }
        }
        _ => error,
    }
}

/// Whether the kernel said EPERM.
fn is_refusal(error: &DatapathError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.and_then(io::Error::raw_os_error) == Some(libc::EPERM) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use aya::maps::MapError;

    use super::*;

    #[test]
    fn a_refusal_is_found_however_deep_it_is() {
        let map = |errno| {
            let io_error = io::Error::from_raw_os_error(errno);
            let source = MapError::CreateError { name: "TAGS".to_owned(), io_error };
            DatapathError::map("making a table")(source)
        };
        assert!(is_refusal(&map(libc::EPERM)));
        assert!(!is_refusal(&map(libc::ENOMEM)));
        assert!(!is_refusal(&DatapathError::NoSlot(3)));
    }

    #[test]
    fn a_limit_is_told_in_the_unit_of_ulimit() {
        assert_eq!(LockedMemoryLimit(8 << 20).to_string(), "8192 KiB");
    }
}
