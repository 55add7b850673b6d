//! The one line that the barrier leaves in the pod's log.

use std::fmt;
use std::time::Duration;

use crate::attempt::{Attached, Setback};
use crate::sentinel::{ADDRESS, Refusal};

/// Enforcement is proven.
#[derive(Debug)]
pub(crate) struct Proof {
    /// What was found.
    pub(crate) attached: Attached,
    /// Whether the pod's uid was compared.
    pub(crate) uid_was_known: bool,
    /// From start to proof.
    pub(crate) waited: Duration,
    /// The successful one included.
    pub(crate) attempts: u32,
}

/// What ended the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The time was over.
    Deadline,
    /// There was time left, but no attempt.
    Attempts,
}

/// Enforcement is not proven.
#[derive(Debug)]
pub(crate) struct Surrender {
    /// From start to end.
    pub(crate) waited: Duration,
    /// All of them.
    pub(crate) attempts: u32,
    /// What ended the wait.
    pub(crate) limit: Limit,
    /// What the last attempt met; none when there was no time for any.
    pub(crate) last: Option<Setback>,
}

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attached { server, claim } = &self.attached;
        let (address, port) = ADDRESS;
        write!(
            formatter,
            "enforcement is proven after {}, the job may start: weir answered in the place of {server} for \
             pod {} under policy {}, and refused the sentinel connect to {address}:{port} with {}",
            Spent(self.waited, self.attempts),
            claim.uid,
            claim.policy,
            claim.refusal.name(),
        )?;
        if claim.refusal == Refusal::Eperm {
            formatter.write_str(
                " (the weaker proof: a kernel before 6.1 cannot refuse with ENOANO, and others than weir \
                 can with EPERM)",
            )?;
        }
        if !self.uid_was_known {
            formatter.write_str(" (the uid was not compared: WEIR_POD_UID is not set)")?;
        }
        Ok(())
    }
}

impl fmt::Display for Surrender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = match self.limit {
            Limit::Deadline => "the deadline",
            Limit::Attempts => "the last attempt allowed",
        };
        write!(
            formatter,
            "enforcement is not proven after {} ({limit}), the job must not start: waited for weir's answer \
             and a refused sentinel connect; ",
            Spent(self.waited, self.attempts),
        )?;
        match &self.last {
            Some(setback) => write!(formatter, "last, {setback}; {}", remedy(setback)),
            None => {
                formatter.write_str("there was no time for an attempt; set a longer WEIR_DEADLINE")
            }
        }
    }
}

/// What to look at first.
const fn remedy(setback: &Setback) -> &'static str {
    match setback {
        Setback::Silence
        | Setback::Network { .. }
        | Setback::Code { .. }
        | Setback::Unusable { .. } => {
            "is weir's agent running on this node, and does the pod's namespace belong to its `select`?"
        }
        Setback::Claim { .. } => {
            "is it weir's agent of this release that answers, and is WEIR_POD_UID this pod's metadata.uid?"
        }
        Setback::Unenforced { .. } => {
            "see the agent's log on this node for why its hooks are not attached to this pod's cgroup"
        }
        Setback::Random(_) => "does the container have its /dev?",
    }
}

/// `3 ms and 1 attempt`.
struct Spent(Duration, u32);

impl fmt::Display for Spent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(waited, attempts) = self;
        let milliseconds = waited.as_millis();
        if milliseconds < 10_000 {
            write!(formatter, "{milliseconds} ms")?;
        } else {
            write!(formatter, "{} s", waited.as_secs())?;
        }
        write!(formatter, " and {attempts} attempt{}", if *attempts == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests;
