//! The clock that the kernel programs read.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds on the monotonic clock, which the programs read too.
#[must_use]
pub fn monotonic_ns() -> u64 {
    // The clock exists on every kernel; were it not to, every entry would count as expired.
    read_ns(ClockId::CLOCK_MONOTONIC).unwrap_or(u64::MAX)
}

/// Nanoseconds on the clock by which the kernel tells when a process began (`start_boottime`), which counts while the
/// machine sleeps.
#[must_use]
pub fn boottime_ns() -> u64 {
    read_ns(ClockId::CLOCK_BOOTTIME).unwrap_or(u64::MAX)
}

fn read_ns(clock: ClockId) -> Option<u64> {
    let now = clock_gettime(clock).ok()?;
    let seconds = u64::try_from(now.tv_sec()).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec()).unwrap_or_default();
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// A moment of [`Instant`] as nanoseconds on the monotonic clock.
#[must_use]
pub fn instant_ns(instant: Instant) -> u64 {
    let ahead = instant.saturating_duration_since(Instant::now());
    let behind = Instant::now().saturating_duration_since(instant);
    let now = monotonic_ns();
    now.saturating_add(nanoseconds(ahead)).saturating_sub(nanoseconds(behind))
}

/// The wall-clock time of a moment on the monotonic clock.
#[must_use]
pub fn wall_clock(monotonic: u64) -> SystemTime {
    let ago = monotonic_ns().saturating_sub(monotonic);
    let now = SystemTime::now();
    now.checked_sub(Duration::from_nanos(ago)).unwrap_or(now)
}

/// A span in nanoseconds.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
