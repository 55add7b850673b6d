//! Durations as profiles write them: a whole number and a unit.

use std::time::Duration;

/// Why text is not a duration that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number, no unit, or something else around them.
    #[error("write a whole number and a unit, `s`, `m` or `h`, as in `30s`")]
    Syntax,
    /// Less or more than the field allows.
    #[error("it must be from {min} to {max}", min = Short(*.min), max = Short(*.max))]
    OutOfRange {
        /// The least that may stand there.
        min: Duration,
        /// The most that may stand there.
        max: Duration,
    },
}

/// Reads `30s`, `5m`, `1h`; both bounds are allowed values.
pub(super) fn parse(text: &str, min: Duration, max: Duration) -> Result<Duration, DurationError> {
    let unit_at = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(unit_at).ok_or(DurationError::Syntax)?;
    let seconds_per_unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(DurationError::Syntax),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError::Syntax);
    }
    let out_of_range = || DurationError::OutOfRange { min, max };
    let number: u64 = number.parse().map_err(|_overflow| out_of_range())?;
    let seconds = number.checked_mul(seconds_per_unit).ok_or_else(out_of_range)?;
    let duration = Duration::from_secs(seconds);
    if (min..=max).contains(&duration) { Ok(duration) } else { Err(out_of_range()) }
}

/// Writes a duration with the largest unit that keeps it whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short(pub(super) Duration);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_secs() {
            seconds if seconds > 0 && seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            seconds if seconds > 0 && seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}
