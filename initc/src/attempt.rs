//! One attempt: an answer for this pod, then the refused connect. Anything else is "not yet".

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ask::{self, Inquiry};
use crate::claim::{Claim, ClaimError};
use crate::random::Random;
use crate::sentinel::{self, Outcome};

/// What an attempt that succeeded found: the claim, and with it the refusal that was seen.
#[derive(Debug)]
pub(crate) struct Attached {
    /// The name server whose place weir's listener takes.
    pub(crate) server: IpAddr,
    /// What it said.
    pub(crate) claim: Claim,
}

/// Why an attempt proved nothing, from the least telling to the most.
#[derive(Debug)]
pub(crate) enum Setback {
    /// No name server answered in time.
    Silence,
    /// A question could not be sent, or was turned away.
    Network {
        /// Who was asked.
        server: IpAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel gave no random numbers.
    Random(io::Error),
    /// A name server that knows no such name: not weir.
    Code {
        /// Who answered.
        server: IpAddr,
        /// The response code (RFC 1035 §4.1.1).
        code: u8,
    },
    /// An answer without the record.
    Unusable {
        /// Who answered.
        server: IpAddr,
        /// What it was.
        what: &'static str,
    },
    /// A record that is no claim for this pod.
    Claim {
        /// Who answered.
        server: IpAddr,
        /// What is wrong with it.
        error: ClaimError,
    },
    /// Names are answered, connects are not refused.
    Unenforced {
        /// What was claimed.
        claim: Claim,
        /// What became of the sentinel connect.
        outcome: Outcome,
    },
}

impl Setback {
    const fn rank(&self) -> u8 {
        match self {
            Self::Silence => 0,
            Self::Network { .. } => 1,
            Self::Random(_) => 2,
            Self::Code { .. } => 3,
            Self::Unusable { .. } => 4,
            Self::Claim { .. } => 5,
            Self::Unenforced { .. } => 6,
        }
    }

    /// The more telling of the two; the first of equals.
    #[expect(clippy::unnecessary_wraps, reason = "it replaces an Option that may be empty")]
    pub(crate) fn louder(said: Option<Self>, next: Self) -> Option<Self> {
        match said {
            Some(said) if said.rank() >= next.rank() => Some(said),
            _ => Some(next),
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => formatter.write_str("no name server answered in time"),
            Self::Network { server, error } => write!(formatter, "asking {server}: {error}"),
            Self::Random(error) => write!(formatter, "reading random numbers: {error}"),
            Self::Code { server, code } => {
                write!(
                    formatter,
                    "{server} answered {}, so it is not weir that answers",
                    Code(*code)
                )
            }
            Self::Unusable { server, what } => write!(formatter, "{server} sent {what}"),
            Self::Claim { server, error } => write!(formatter, "{server} answered, but {error}"),
            Self::Unenforced { claim, outcome } => write!(
                formatter,
                "names are answered by weir (policy {}), but the sentinel connect to {}:{} was not refused \
                 with {}: {outcome}",
                claim.policy,
                sentinel::ADDRESS.0,
                sentinel::ADDRESS.1,
                claim.refusal.name(),
            ),
        }
    }
}

/// The name of a response code.
struct Code(u8);

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => formatter.write_str("FORMERR"),
            2 => formatter.write_str("SERVFAIL"),
            3 => formatter.write_str("NXDOMAIN"),
            4 => formatter.write_str("NOTIMP"),
            5 => formatter.write_str("REFUSED"),
            other => write!(formatter, "response code {other}"),
        }
    }
}

/// Asks `servers` for at most `slot`, then tries the sentinel; all before `deadline`.
pub(crate) fn attempt(
    servers: &[IpAddr],
    inquiry: &Arc<Inquiry>,
    random: &mut Random,
    slot: Duration,
    deadline: Instant,
) -> Result<Attached, Setback> {
    let (server, claim) = ask::first_claim(servers, inquiry, random, slot)?;
    let outcome = sentinel::connect(deadline.saturating_duration_since(Instant::now()));
    if claim.refusal.explains(&outcome) {
        Ok(Attached { server, claim })
    } else {
        Err(Setback::Unenforced { claim, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::Setback;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn what_tells_most_is_kept() {
        let server = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let code = || Setback::Code { server, code: 3 };
        let kept = Setback::louder(Setback::louder(None, code()), Setback::Silence);
        assert!(matches!(kept, Some(Setback::Code { .. })));
        let kept = Setback::louder(Some(Setback::Silence), code());
        assert!(matches!(kept, Some(Setback::Code { .. })));
    }

    #[test]
    fn codes_have_names() {
        let server = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let said = |code| Setback::Code { server, code }.to_string();
        assert_eq!(said(3), "127.0.0.1 answered NXDOMAIN, so it is not weir that answers");
        assert_eq!(said(11), "127.0.0.1 answered response code 11, so it is not weir that answers");
    }
}
