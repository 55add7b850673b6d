//! One question while it is being answered.

use std::sync::Arc;
use std::time::Instant;

use super::Entry;
use crate::policy::Profile;
use crate::resolver::question::Request;
use crate::resolver::reply::{ExtendedError, Reply};
use crate::resolver::statistics::Outcome;
use crate::resolver::wire::{rcode, rtype};

/// One question and what is known about it.
pub(super) struct Asked<'a, C> {
    pub(super) request: &'a Request,
    pub(super) client: &'a C,
    pub(super) limit: usize,
    /// The answer that was waited for.
    pub(super) ready: Option<&'a Arc<Entry>>,
    pub(super) now: Instant,
}

/// What becomes of an attempt to answer.
pub(super) enum Attempt {
    Answered(Outcome),
    NeedsUpstream,
    /// The policy changed: decide again.
    Revoked,
}

impl<C> Asked<'_, C> {
    pub(super) fn reply<'s>(&'s self, out: &'s mut Vec<u8>) -> Reply<'s> {
        Reply::new(self.request, self.limit, out)
    }

    /// Answers the types that are not asked upstream for any name.
    pub(super) fn without_upstream(&self, out: &mut Vec<u8>) -> Option<Attempt> {
        match self.request.qtype {
            rtype::ANY => self.reply(out).minimal_any(),
            // Asked by real clients, and understood well enough to be checked.
            rtype::A
            | rtype::AAAA
            | rtype::CAA
            | rtype::CNAME
            | rtype::HTTPS
            | rtype::MX
            | rtype::NAPTR
            | rtype::NS
            | rtype::PTR
            | rtype::SOA
            | rtype::SRV
            | rtype::SSHFP
            | rtype::SVCB
            | rtype::TLSA
            | rtype::TXT => return None,
            // Tunnels like types that carry anything (NULL, private use), and a type is two bytes
            // out with every question: the rest does not exist here.
            _ => {
                let text = "weir: questions of this type are not asked";
                let error = ExtendedError::new(ExtendedError::FILTERED, text);
                self.reply(out).empty(rcode::NO_ERROR, Some(&error));
            }
        }
        Some(Attempt::Answered(Outcome::Local))
    }

    /// Writes the records of `entry`, with the lifetime that is left of it.
    pub(super) fn tell(
        &self,
        profile: &Profile,
        entry: &Entry,
        keep: impl Fn(usize) -> bool,
        error: Option<&ExtendedError>,
        out: &mut Vec<u8>,
    ) -> Attempt {
        if let Some(failure) = &entry.failure {
            self.reply(out).empty(rcode::SERVER_FAILURE, Some(failure));
            return Attempt::Answered(Outcome::Failed);
        }
        let left = entry.expires(profile.dns().max_ttl).saturating_duration_since(self.now);
        let ttl_s = u32::try_from(left.as_secs()).unwrap_or(u32::MAX >> 1);
        self.reply(out).records(entry, ttl_s, keep, error);
        Attempt::Answered(if self.ready.is_some() { Outcome::Upstream } else { Outcome::Cached })
    }
}
